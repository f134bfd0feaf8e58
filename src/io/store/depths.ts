import type { QueueDepth } from '../../model/change.ts'
import type { PoolName } from '../../model/ids.ts'
import type { TaskStatus } from '../../model/task.ts'

type Counters = { -readonly [Key in keyof QueueDepth]: QueueDepth[Key] }

const empty: QueueDepth = { queued: 0, scheduled: 0, held: 0, leased: 0, nextDueMs: null }

function counterOf(status: TaskStatus): 'queued' | 'scheduled' | 'held' | 'leased' | null {
  if (status === 'queued' || status === 'scheduled' || status === 'held') return status
  return status === 'leased' || status === 'returning' ? 'leased' : null
}

/** How many tasks each pool has in which state, without asking the database. One transaction at a time. */
export class Depths {
  readonly #pools = new Map<PoolName, Counters>()
  /** What the pools touched by this transaction were before it. */
  readonly #before = new Map<PoolName, QueueDepth>()

  /** Moves `count` tasks; null stands for outside (submitted, or deleted). */
  move(pool: PoolName, from: TaskStatus | null, to: TaskStatus | null, count = 1): void {
    const counters = this.#touch(pool)
    const source = from === null ? null : counterOf(from)
    const target = to === null ? null : counterOf(to)
    if (source !== null) counters[source] -= count
    if (target !== null) counters[target] += count
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
