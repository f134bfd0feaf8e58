/** How a task stands in its row: the one place that knows the order of the columns. */
import type { SQLInputValue, SQLOutputValue } from 'node:sqlite'
import type { ReplicaName } from '../../../model/ids.ts'
import { nothingSpent, type Spent } from '../../../model/spent.ts'
import type { NewTask, TaskStatus } from '../../../model/task.ts'
import type { TaskRow } from '../task-row.ts'

/** What `rowFrom` reads, in order. */
export const rowColumns = `seq, id, pool, status, priority, submitted_ms, not_before_ms, deadline_ms, finished_ms, fence,
  attempt, counted, lost, avoid_replica, avoid_until_ms, replica, incarnation, since_ms, attempts, previous, error,
  reason, steps, spent`
/** How many there are: what a query selects after them starts here. */
export const rowWidth = 24

/** Row values as `setReturnArrays` gives them. */
export type Values = readonly SQLOutputValue[]

export function rowFrom(values: Values): TaskRow {
  const avoidReplica = values[13] as ReplicaName | null
  const replica = values[15] as ReplicaName | null
  return {
    seq: values[0] as number,
    id: values[1] as string,
    pool: values[2] as string,
    status: values[3] as TaskStatus,
    priority: values[4] as number,
    submittedMs: values[5] as number,
    notBeforeMs: values[6] as number | null,
    deadlineMs: values[7] as number | null,
    finishedMs: values[8] as number | null,
    fence: values[9] as number,
    attempt: values[10] as number,
    countedAttempts: values[11] as number,
    lostReplicas: parsed(values[12]) ?? [],
    avoid: avoidReplica === null ? null : { replica: avoidReplica, untilMs: values[14] as number },
    lease: replica === null ? null : { replica, incarnation: values[16] as number, sinceMs: values[17] as number },
    attempts: parsed(values[18]) ?? [],
    previous: parsed(values[19]),
    error: parsed(values[20]),
    reason: values[21] as string | null,
    steps: values[22] as number,
    spent: parsed(values[23]) ?? nothingSpent,
    output: null,
  }
}

export const insertTask = `INSERT INTO task
  (id, pool, status, priority, submitted_ms, not_before_ms, deadline_ms, idempotency_key, needs, input)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

export function insertValues(task: NewTask, status: TaskStatus): SQLInputValue[] {
  return [
    task.id,
    task.pool,
    status,
    task.priority,
    task.submittedMs,
    task.notBeforeMs,
    task.deadlineMs,
    task.idempotencyKey,
    task.needs.length === 0 ? null : JSON.stringify(task.needs),
    JSON.stringify(task.input),
  ]
}

/** Output is set once, by `done`, and no transition leads out of `done`. */
export const updateTask = `UPDATE task SET status = ?, not_before_ms = ?, deadline_ms = ?, finished_ms = ?, fence = ?,
  attempt = ?, counted = ?, suspect = ?, lost = ?, avoid_replica = ?, avoid_until_ms = ?, replica = ?, incarnation = ?,
  since_ms = ?, attempts = ?, previous = ?, error = ?, reason = ?, steps = ?, spent = ?, output = coalesce(?, output)
  WHERE seq = ?`

export function updateValues(before: TaskRow, row: TaskRow): SQLInputValue[] {
  return [
    row.status,
    row.notBeforeMs,
    row.deadlineMs,
    row.finishedMs,
    row.fence,
    row.attempt,
    row.countedAttempts,
    row.lostReplicas.length === 0 ? 0 : 1,
    textOf(row.lostReplicas),
    row.avoid?.replica ?? null,
    row.avoid?.untilMs ?? null,
    row.lease?.replica ?? null,
    row.lease?.incarnation ?? null,
    row.lease?.sinceMs ?? null,
    textOf(row.attempts),
    row.previous === null ? null : JSON.stringify(row.previous),
    row.error === null ? null : JSON.stringify(row.error),
    row.reason,
    row.steps,
    isNothing(row.spent) ? null : JSON.stringify(row.spent),
    row.status === 'done' && before.status !== 'done' ? JSON.stringify(row.output) : null,
    row.seq,
  ]
}

/** JSON of an object plus members that are JSON text already: payloads cross this thread without being parsed. */
export function withText(value: object, members: Readonly<Record<string, string>>): string {
  const extra = Object.entries(members).map(([name, text]) => `,"${name}":${text}`)
  return `${JSON.stringify(value).slice(0, -1)}${extra.join('')}}`
}

function parsed<T>(value: SQLOutputValue | undefined): T | null {
  return typeof value === 'string' ? (JSON.parse(value) as T) : null
}

function isNothing({ tokens, usd, calls, timeMs }: Spent): boolean {
  return tokens + usd + calls + timeMs === 0
}

function textOf(list: readonly unknown[]): string | null {
  return list.length === 0 ? null : JSON.stringify(list)
}
