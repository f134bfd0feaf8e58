import type { NextState } from '../model/change.ts'
import type { ReplicaName, TaskId } from '../model/ids.ts'
import type { AttemptRow, Ending, FailureMark, PoolRow } from '../model/rows.ts'
import { blameTask, closeCase } from './blame.ts'
import type { Draft, View } from './outcome.ts'
import { holdPool } from './pool-hold.ts'
import { nextAfter } from './retry.ts'
import { blameSpender, recordTaskCase } from './task-incident.ts'
import { overspent, spentBy } from './use.ts'

/** Takes the task away first (R6): from here on a late result is refused. It ends when the host has let go. */
export function revokeAttempt(draft: Draft, attempt: AttemptRow, ending: Ending, untilMs: number): void {
  if (attempt.phase.kind === 'returning') return
  draft.change({ kind: 'revoke', taskId: attempt.taskId, fence: attempt.fence })
  const sinceMs = attempt.phase.kind === 'running' ? attempt.phase.sinceMs : null
  // What it was given back in this very decision stays given back.
  draft.setAttempt({ ...draft.attempt(attempt), phase: { kind: 'returning', untilMs, ending, sinceMs } })
}

/** Asks the host to let go of an attempt whose fence is raised. */
export function askToReset(draft: Draft, view: View, attempt: AttemptRow, reason: string): void {
  const { name, incarnation } = view.replica
  draft.effect({ kind: 'reset', replica: name, incarnation, taskId: attempt.taskId, fence: attempt.fence, reason })
}

/** The host has let go of a returning attempt: now the task may go on elsewhere. */
export function finishReturning(draft: Draft, view: View, attempt: AttemptRow): void {
  if (attempt.phase.kind !== 'returning') return
  endAttempt(draft, view, attempt, attempt.phase.ending)
}

/** Writes the end of an attempt, and where its task goes from here. */
export function endAttempt(draft: Draft, view: View, before: AttemptRow, ending: Ending): void {
  const { nowMs, spec } = view
  const attempt = draft.attempt(before)
  const spent = spentBy(attempt, nowMs)
  const step = nextAfter(attempt, ending, spec, nowMs)
  const poisonous = step.kind === 'poison'
  const buried = poisonous && hasContrast(draft, view, attempt)
  const next =
    step.kind === 'next'
      ? step.next
      : buried
        ? bury(draft, view, attempt, ending)
        : returnFromDefective(draft, view, attempt)
  const counted = ending.counted && (!poisonous || buried)
  const lostReplica = counted && ending.lost ? attempt.replica : null
  draft.change({
    kind: 'end_attempt',
    taskId: attempt.taskId,
    fence: attempt.phase.kind === 'returning' ? attempt.fence + 1 : attempt.fence,
    atMs: nowMs,
    outcome: ending.outcome,
    counted,
    lostReplica,
    error: ending.error,
    previous: {
      attempt: attempt.attempt,
      outcome: ending.outcome,
      evidence: ending.evidence,
      doNot: ending.doNot ?? [],
      ...(ending.error === null ? {} : { error: ending.error }),
    },
    spent,
    next,
  })
  const over = next.status === 'held' ? overspent(spent, spec, nowMs) : null
  // One that was stopped for it is known already.
  const isStopped = attempt.phase.kind === 'returning' && ending.outcome === 'budget_exceeded'
  if (over !== null && !isStopped) blameSpender(draft, { pool: spec.name, taskId: attempt.taskId, nowMs }, over)
  const startedMs = attempt.phase.kind === 'running' ? attempt.phase.sinceMs : attempt.dispatchedMs
  draft.notice(
    {
      kind: 'attempt_ended',
      taskId: attempt.taskId,
      pool: attempt.pool,
      replica: attempt.replica,
      outcome: ending.outcome,
      startedMs,
      atMs: nowMs,
    },
    { kind: 'task', taskId: attempt.taskId, pool: attempt.pool, status: statusOf(next), atMs: nowMs },
  )
  draft.endAttempt(attempt.taskId)
  if (next.status !== 'queued') closeCase(draft, view, attempt.taskId)
  else expect(draft, view, attempt, next.notBeforeMs, lostReplica !== null)
}

/** The task will be there to claim in the same transaction; a suspect wants a replica of its own. */
function expect(draft: Draft, view: View, attempt: AttemptRow, notBeforeMs: number | null, lost: boolean): void {
  const pool = draft.pool ?? view.pool
  const { depth } = pool
  const nextDueMs = notBeforeMs === null ? depth.nextDueMs : Math.min(notBeforeMs, depth.nextDueMs ?? notBeforeMs)
  const queued = depth.queued + (notBeforeMs === null ? 1 : 0)
  const suspect = notBeforeMs === null && (lost || attempt.lostReplicas.length > 0)
  const suspects = depth.suspects + (suspect ? 1 : 0)
  draft.pool = { ...pool, depth: { ...depth, queued, suspects, nextDueMs } }
}

function statusOf(next: NextState): NextState['status'] | 'scheduled' {
  return next.status === 'queued' && next.notBeforeMs !== null ? 'scheduled' : next.status
}

/**
 * Poison needs contrast (R8): most of the replicas that the task ended have
 * completed other tasks inside the strike period. Without it the build may be
 * bad, and burying tasks would bury everything.
 */
function hasContrast(draft: Draft, view: View, attempt: AttemptRow): boolean {
  const lost = new Set<ReplicaName>([...attempt.lostReplicas, attempt.replica])
  const since = view.nowMs - view.spec.recovery.strikePeriodMs
  const rows = [view.replica, ...view.siblings].map((row) => draft.replica(row))
  const healthy = rows.filter((row) => lost.has(row.name) && row.lastDoneMs !== null && row.lastDoneMs > since)
  return healthy.length * 2 > lost.size
}

/** Dead letter: the task is guilty, so what it cost its replicas is given back. */
function bury(draft: Draft, view: View, attempt: AttemptRow, ending: Ending): NextState {
  const { nowMs, spec } = view
  const lost = [...attempt.lostReplicas, attempt.replica]
  const reason = `poison: ${lost.length} replicas were lost to it (${lost.join(', ')}), which completed other tasks`
  blameTask(draft, view, attempt.taskId, { culprit: 'task', confidence: 0.9, because: reason, table: [] })
  const { taskId, dispatchedMs: firstSignMs } = attempt
  const closing = 'the task is in the dead letters; strikes refunded'
  const evidence = [reason, ...ending.evidence]
  const about = { fault: 'poison', action: 'dead_letter', pool: spec.name, taskId, firstSignMs } as const
  recordTaskCase(draft, { ...about, reason, evidence, closing }, nowMs)
  return { status: 'dead_letter', error: ending.error, reason }
}

/** What these failures cost their tasks is given back, in the store and in the rows at hand; they accuse nobody any more. */
export function refundAttempts(
  draft: Draft,
  view: { readonly pool: PoolRow; readonly attempts: readonly AttemptRow[] },
  isOfIt: (mark: FailureMark) => boolean,
): void {
  const pool = draft.pool ?? view.pool
  const marks = pool.marks.filter(isOfIt)
  if (marks.length === 0) return
  draft.pool = { ...pool, marks: pool.marks.filter((mark) => !marks.includes(mark)) }
  const refunds = costs(marks)
  for (const [taskId, cost] of refunds) draft.change({ kind: 'refund', taskId, ...cost })
  for (const before of view.attempts) {
    const cost = refunds.get(before.taskId)
    if (cost === undefined) continue
    const attempt = draft.attempt(before)
    draft.setAttempt({
      ...attempt,
      countedAttempts: Math.max(0, attempt.countedAttempts - cost.attempts),
      lostReplicas: attempt.lostReplicas.slice(0, Math.max(0, attempt.lostReplicas.length - cost.losses)),
    })
  }
}

interface Cost {
  readonly attempts: number
  readonly losses: number
}

function costs(marks: readonly FailureMark[]): ReadonlyMap<TaskId, Cost> {
  const all = new Map<TaskId, Cost>()
  for (const { taskId, counted, lost } of marks) {
    if (taskId === null || !(counted || lost)) continue
    const { attempts, losses } = all.get(taskId) ?? { attempts: 0, losses: 0 }
    all.set(taskId, { attempts: attempts + (counted ? 1 : 0), losses: losses + (lost ? 1 : 0) })
  }
  return all
}

/** No contrast: the pool is held with one canary, and the task goes back as if nothing had happened. */
function returnFromDefective(draft: Draft, view: View, attempt: AttemptRow): NextState {
  const lost = [...attempt.lostReplicas, attempt.replica]
  holdPool(
    draft,
    view,
    `task ${attempt.taskId} ended ${lost.length} replicas (${lost.join(', ')}), and those completed nothing else: the agent may be defective`,
  )
  return { status: 'queued', notBeforeMs: null, avoid: null }
}
