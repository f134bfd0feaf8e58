import type { QueueDepth } from '../../model/change.ts'
import type { PoolName } from '../../model/ids.ts'
import type { TaskStatus } from '../../model/task.ts'
import { isSuspect, type TaskRow } from './task-row.ts'

type Counters = { -readonly [Key in keyof QueueDepth]: QueueDepth[Key] }

const empty: QueueDepth = { queued: 0, scheduled: 0, held: 0, leased: 0, suspects: 0, nextDueMs: null }

function counterOf(status: TaskStatus): 'queued' | 'scheduled' | 'held' | 'leased' | null {
  if (status === 'queued' || status === 'scheduled' || status === 'held') return status
  return status === 'leased' || status === 'returning' ? 'leased' : null
}

/** How many tasks each pool has in which state, without asking the database. One transaction at a time. */
export class Depths {
  readonly #pools = new Map<PoolName, Counters>()
  /** What the pools touched by this transaction were before it. */
  readonly #before = new Map<PoolName, QueueDepth>()

  /** One task is no longer what it was; null: it was not there. */
  replace(before: TaskRow | null, after: TaskRow): void {
    if (before !== null && before.status === after.status && isSuspect(before) === isSuspect(after)) return
    if (before !== null) this.add(before.pool, before.status, -1, isSuspect(before) ? -1 : 0)
    this.add(after.pool, after.status, 1, isSuspect(after) ? 1 : 0)
  }

  /** So many more (or fewer) tasks of a status; `suspects` of them cost a replica. */
  add(pool: PoolName, status: TaskStatus, count: number, suspects: number): void {
    const counters = this.#touch(pool)
    const counter = counterOf(status)
    if (counter !== null) counters[counter] += count
    if (status === 'queued') counters.suspects += suspects
  }

  setNextDue(pool: PoolName, nextDueMs: number | null): void {
    this.#touch(pool).nextDueMs = nextDueMs
  }

  of(pool: PoolName): QueueDepth {
    return this.#pools.get(pool) ?? empty
  }

  /** Pools whose next scheduled task is due. */
  due(nowMs: number): PoolName[] {
    return [...this.#pools]
      .filter(([, { nextDueMs }]) => nextDueMs !== null && nextDueMs <= nowMs)
      .map(([pool]) => pool)
  }

  touched(): PoolName[] {
    return [...this.#before.keys()]
  }

  /** Of these pools. */
  snapshot(pools: Iterable<PoolName>): Record<PoolName, QueueDepth> {
    return Object.fromEntries(Array.from(pools, (pool) => [pool, { ...this.of(pool) }]))
  }

  /** Of every pool that has a task which is not final. */
  all(): Record<PoolName, QueueDepth> {
    const busy = [...this.#pools].filter(
      ([, { queued, scheduled, held, leased }]) => queued + scheduled + held + leased > 0,
    )
    return this.snapshot(busy.map(([pool]) => pool))
  }

  keep(): void {
    this.#before.clear()
  }

  rollBack(): void {
    for (const [pool, counters] of this.#before) this.#pools.set(pool, { ...counters })
    this.#before.clear()
  }

  #touch(pool: PoolName): Counters {
    let counters = this.#pools.get(pool)
    if (counters === undefined) {
      counters = { ...empty }
      this.#pools.set(pool, counters)
    }
    if (!this.#before.has(pool)) this.#before.set(pool, { ...counters })
    return counters
  }
}
