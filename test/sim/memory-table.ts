import type { Rows } from '../../src/io/store/decision.ts'
import { Depths } from '../../src/io/store/depths.ts'
import { due, isSuspect, isWaiting, leased, newRow, type TaskRow } from '../../src/io/store/task-row.ts'
import type { Claim } from '../../src/model/change.ts'
import type { PoolName, TaskId } from '../../src/model/ids.ts'
import type { Json } from '../../src/model/json.ts'
import { isFinal, type JournalStep, type Lease, type NewTask } from '../../src/model/task.ts'

export interface Entry {
  row: TaskRow
  readonly task: NewTask
  input: Json
  /** By name and key, in order of their start. */
  readonly steps: Map<string, JournalStep>
}

export function stepId(name: string, key: string): string {
  return JSON.stringify([name, key])
}

/** Rows in memory with the few indexes that keep a simulated hour cheap. */
export class MemoryTable implements Rows {
  readonly entries = new Map<TaskId, Entry>()
  readonly depths = new Depths()
  finished = 0
  readonly #byKey = new Map<string, Entry>()
  /** Claimable tasks of each pool, the next one last. */
  readonly #queues = new Map<PoolName, Entry[]>()
  readonly #scheduled = new Set<Entry>()
  /** Waiting tasks whose submitter set a deadline. */
  readonly #withDeadline = new Set<Entry>()
  readonly #leased = new Set<Entry>()
  #lastSeq = 0

  task(id: TaskId): TaskRow | undefined {
    return this.entries.get(id)?.row
  }

  step(row: TaskRow, name: string, key: string): JournalStep | undefined {
    return this.entries.get(row.id)?.steps.get(stepId(name, key))
  }

  known(task: NewTask): Entry | undefined {
    const byKey = task.idempotencyKey === null ? undefined : this.#byKey.get(stepId(task.pool, task.idempotencyKey))
    return byKey ?? this.entries.get(task.id)
  }

  add(task: NewTask): TaskRow {
    this.#lastSeq += 1
    const row = newRow(task, this.#lastSeq)
    const entry: Entry = { row, task, input: task.input, steps: new Map() }
    this.entries.set(task.id, entry)
    if (task.idempotencyKey !== null) this.#byKey.set(stepId(task.pool, task.idempotencyKey), entry)
    this.depths.replace(null, row)
    this.#enter(entry)
    return row
  }

  set(after: TaskRow): void {
    const entry = this.entries.get(after.id)
    if (entry === undefined) throw new Error(`No task ${after.id}`)
    this.depths.replace(entry.row, after)
    this.#leave(entry)
    entry.row = after
    this.#enter(entry)
  }

  delete(entry: Entry): void {
    this.#leave(entry)
    this.entries.delete(entry.row.id)
    if (entry.task.idempotencyKey !== null) this.#byKey.delete(stepId(entry.task.pool, entry.task.idempotencyKey))
  }

  claim(claim: Claim, nowMs: number): Lease[] {
    const queue = this.#queues.get(claim.pool) ?? []
    const taken: Entry[] = []
    for (let index = queue.length - 1; index >= 0 && taken.length < claim.count; index -= 1) {
      const entry = queue[index] as Entry
      const { avoid } = entry.row
      if (avoid?.replica === claim.replica && nowMs < avoid.untilMs && claim.hasSibling) continue
      if (entry.task.needs.some((need) => claim.blocked.includes(need))) continue
      if (!isSuspect(entry.row)) {
        taken.push(entry)
      } else if (claim.idle && taken.length === 0) {
        taken.push(entry)
        break
      }
    }
    const { replica, incarnation } = claim
    return taken.map((entry) => {
      this.set(leased(entry.row, { replica, incarnation, sinceMs: nowMs }))
      return leaseOf(entry)
    })
  }

  promote(nowMs: number): void {
    for (const { row } of this.#scheduled) if ((row.notBeforeMs ?? 0) <= nowMs) this.set(due(row))
  }

  settleDepths(): void {
    for (const pool of this.depths.touched()) {
      let nextDueMs: number | null = null
      if (this.depths.of(pool).scheduled > 0) {
        for (const { row } of this.#scheduled) {
          if (row.pool === pool && row.notBeforeMs !== null)
            nextDueMs = Math.min(nextDueMs ?? row.notBeforeMs, row.notBeforeMs)
        }
      }
      this.depths.setNextDue(pool, nextDueMs)
    }
  }

  leases(): Entry[] {
    return [...this.#leased]
  }

  overdue(nowMs: number, limit: number): TaskId[] {
    return [...this.#withDeadline]
      .filter(({ row }) => row.deadlineMs !== null && row.deadlineMs <= nowMs)
      .sort((a, b) => Number(a.row.deadlineMs) - Number(b.row.deadlineMs))
      .slice(0, limit)
      .map(({ row }) => row.id)
  }

  #enter(entry: Entry): void {
    const { row } = entry
    if (row.status === 'queued') {
      const queue = this.#queue(row.pool)
      queue.splice(position(queue, row), 0, entry)
    }
    if (row.status === 'scheduled') this.#scheduled.add(entry)
    if (row.lease !== null) this.#leased.add(entry)
    if (row.deadlineMs !== null && isWaiting(row.status)) this.#withDeadline.add(entry)
    if (isFinal(row.status)) this.finished += 1
  }

  #leave(entry: Entry): void {
    const { row } = entry
    if (row.status === 'queued') {
      const queue = this.#queue(row.pool)
      queue.splice(position(queue, row), 1)
    }
    this.#scheduled.delete(entry)
    this.#leased.delete(entry)
    this.#withDeadline.delete(entry)
    if (isFinal(row.status)) this.finished -= 1
  }

  #queue(pool: PoolName): Entry[] {
    let queue = this.#queues.get(pool)
    if (queue === undefined) {
      queue = []
      this.#queues.set(pool, queue)
    }
    return queue
  }
}

/** Where a row stands, or would stand, in a queue whose next task is last. */
function position(queue: readonly Entry[], { priority, seq }: TaskRow): number {
  let low = 0
  let high = queue.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const { row } = queue[middle] as Entry
    if (row.priority < priority || (row.priority === priority && row.seq > seq)) low = middle + 1
    else high = middle
  }
  return low
}

function leaseOf({ row, task, input, steps }: Entry): Lease {
  const { pool, fence, attempt, countedAttempts, lostReplicas, priority, deadlineMs, spent, previous, lease } = row
  if (lease === null) throw new Error(`No lease on ${row.id}`)
  const { replica, incarnation } = lease
  const held = { taskId: row.id, pool, replica, incarnation, fence, attempt, countedAttempts, lostReplicas }
  return { ...held, input, priority, deadlineMs, needs: task.needs, spent, journal: [...steps.values()], previous }
}
