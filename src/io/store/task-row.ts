/**
 * What may happen to a task, as pure functions over its row: every store
 * applies these, so that SQLite and the simulator cannot disagree.
 *
 * I3 holds here: a write is accepted only under the current fence of a lease,
 * and every way out of a lease raises the fence, unless the task is final.
 */
import type { Change, NextState } from '../../model/change.ts'
import type { ErrorInfo } from '../../model/errors.ts'
import type { PoolName, ReplicaName, TaskId } from '../../model/ids.ts'
import type { Json } from '../../model/json.ts'
import { limits } from '../../model/limits.ts'
import { nothingSpent, type Spent } from '../../model/spent.ts'
import type { AttemptRecord, NewTask, PreviousAttempt, TaskStatus } from '../../model/task.ts'

/** A task without its input: what decisions read and write. Rows are replaced, never changed. */
export interface TaskRow {
  /** Order of submission, for ever unique in its store. */
  readonly seq: number
  readonly id: TaskId
  readonly pool: PoolName
  readonly status: TaskStatus
  readonly priority: number
  readonly submittedMs: number
  readonly notBeforeMs: number | null
  readonly deadlineMs: number | null
  readonly finishedMs: number | null
  readonly fence: number
  readonly attempt: number
  readonly countedAttempts: number
  readonly lostReplicas: readonly ReplicaName[]
  readonly avoid: { readonly replica: ReplicaName; readonly untilMs: number } | null
  readonly lease: {
    readonly replica: ReplicaName
    readonly incarnation: number
    readonly sinceMs: number
  } | null
  readonly attempts: readonly AttemptRecord[]
  readonly previous: PreviousAttempt | null
  readonly error: ErrorInfo | null
  readonly reason: string | null
  readonly spent: Spent
  /** Steps in its journal. */
  readonly steps: number
  /** Set by `done` only. A store that keeps outputs elsewhere may leave it out of what it loads. */
  readonly output: Json | null
}

/**
 * By how much a takeover raises a fence. The last words of the supervisor before
 * may still be on their way, and it could foresee two fences: its lease's own,
 * and the one after a revoke that it had not got written.
 */
export const takeOverRaise = 2

export type Refusal = 'stale' | 'conflict'
export type EndAttempt = Extract<Change, { readonly kind: 'end_attempt' }>

/** Waits for a replica, its time or a person: nobody holds it. */
export function isWaiting(status: TaskStatus): boolean {
  return status === 'queued' || status === 'scheduled' || status === 'held'
}

/** It cost a replica: it runs alone (R8). */
export function isSuspect(row: TaskRow): boolean {
  return row.lostReplicas.length > 0
}

/** Whether a write under `fence` is the lease's own. */
export function ownsLease(row: TaskRow, fence: number): boolean {
  return row.fence === fence && (row.status === 'leased' || row.status === 'returning')
}

export function newRow(task: NewTask, seq: number): TaskRow {
  return {
    seq,
    id: task.id,
    pool: task.pool,
    status: task.notBeforeMs !== null && task.notBeforeMs > task.submittedMs ? 'scheduled' : 'queued',
    priority: task.priority,
    submittedMs: task.submittedMs,
    notBeforeMs: task.notBeforeMs,
    deadlineMs: task.deadlineMs,
    finishedMs: null,
    fence: 0,
    attempt: 0,
    countedAttempts: 0,
    lostReplicas: [],
    avoid: null,
    lease: null,
    attempts: [],
    previous: null,
    error: null,
    reason: null,
    spent: nothingSpent,
    steps: 0,
    output: null,
  }
}

/** The row under its next lease. */
export function leased(row: TaskRow, lease: NonNullable<TaskRow['lease']>): TaskRow {
  return {
    ...row,
    status: 'leased',
    fence: row.fence + 1,
    attempt: row.attempt + 1,
    lease,
    avoid: null,
    notBeforeMs: null,
  }
}

/** The row after its lease was taken away: nobody else may have it until `end_attempt`. */
export function revoked(row: TaskRow, fence: number): TaskRow | Refusal {
  if (!ownsLease(row, fence)) return 'stale'
  return row.status === 'leased' ? { ...row, status: 'returning', fence: row.fence + 1 } : 'conflict'
}

export function attemptEnded(row: TaskRow, change: EndAttempt): TaskRow | Refusal {
  if (!ownsLease(row, change.fence) || row.lease === null) return 'stale'
  const record: AttemptRecord = {
    attempt: row.attempt,
    replica: row.lease.replica,
    incarnation: row.lease.incarnation,
    startedMs: row.lease.sinceMs,
    endedMs: change.atMs,
    outcome: change.outcome,
    counted: change.counted,
    ...(change.error === null ? {} : { error: change.error }),
  }
  return moved(
    {
      ...row,
      attempts: row.attempts.length === 0 ? [record] : [...row.attempts, record].slice(-limits.attemptsKept),
      countedAttempts: row.countedAttempts + (change.counted ? 1 : 0),
      lostReplicas: change.lostReplica === null ? row.lostReplicas : [...row.lostReplicas, change.lostReplica],
      previous: change.previous,
      spent: change.spent ?? row.spent,
    },
    change.next,
    change.atMs,
  )
}

/** What it has spent by now. */
export function spending(
  row: TaskRow,
  { fence, spent }: Extract<Change, { readonly kind: 'spend' }>,
): TaskRow | Refusal {
  return ownsLease(row, fence) ? { ...row, spent } : 'stale'
}

/** A task that nobody holds goes elsewhere: cancelled, overdue, held, let go. */
export function waitingEnded(row: TaskRow, next: NextState, atMs: number): TaskRow | Refusal {
  return isWaiting(row.status) ? moved(row, next, atMs) : 'conflict'
}

export function refunded(row: TaskRow, attempts: number, losses: number): TaskRow {
  return {
    ...row,
    countedAttempts: Math.max(0, row.countedAttempts - attempts),
    lostReplicas: row.lostReplicas.slice(0, Math.max(0, row.lostReplicas.length - losses)),
  }
}

/** Sent again by a person: as if new, under the same id and a higher fence. What happened stays in `attempts`. */
export function sentAgain(row: TaskRow, nowMs: number): TaskRow | 'not_final' {
  if (row.status !== 'failed' && row.status !== 'cancelled' && row.status !== 'dead_letter') return 'not_final'
  return {
    ...released(row),
    status: 'queued',
    fence: row.fence + 1,
    attempt: 0,
    countedAttempts: 0,
    lostReplicas: [],
    previous: null,
    spent: nothingSpent,
    steps: 0,
    // A deadline in the past would fail it again at once, whatever the person wanted.
    deadlineMs: row.deadlineMs !== null && row.deadlineMs <= nowMs ? null : row.deadlineMs,
  }
}

/** Its time has come. */
export function due(row: TaskRow): TaskRow {
  return { ...row, status: 'queued', notBeforeMs: null }
}

function released(row: TaskRow): TaskRow {
  return {
    ...row,
    lease: null,
    notBeforeMs: null,
    avoid: null,
    finishedMs: null,
    error: null,
    reason: null,
    output: null,
  }
}

function moved(row: TaskRow, next: NextState, atMs: number): TaskRow {
  const free = released(row)
  // I3. Whoever still believes to hold the lease is refused from here on.
  const fence = row.lease === null ? row.fence : row.fence + 1
  switch (next.status) {
    case 'queued':
      return next.notBeforeMs !== null && next.notBeforeMs > atMs
        ? { ...free, status: 'scheduled', fence, notBeforeMs: next.notBeforeMs, avoid: next.avoid }
        : { ...free, status: 'queued', fence, avoid: next.avoid }
    case 'held':
      return { ...free, status: 'held', fence, reason: next.reason }
    case 'done':
      return { ...free, status: 'done', finishedMs: atMs, output: next.output }
    case 'failed':
    case 'dead_letter':
      return { ...free, status: next.status, finishedMs: atMs, error: next.error, reason: next.reason }
    case 'cancelled':
      return { ...free, status: 'cancelled', finishedMs: atMs, reason: next.reason }
  }
}

/** What a reader sees of the row itself. */
export function viewed(row: TaskRow) {
  const { id, pool, status, priority, submittedMs, notBeforeMs, deadlineMs, finishedMs, fence } = row
  const { lease, attempts, countedAttempts, spent, error, reason } = row
  const times = { submittedMs, notBeforeMs, deadlineMs, finishedMs }
  return { id, pool, status, priority, ...times, fence, lease, attempts, countedAttempts, spent, error, reason }
}
