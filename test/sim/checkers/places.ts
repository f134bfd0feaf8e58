import type { ReplicaRecord } from '../../../src/model/change.ts'
import type { PoolName, ReplicaName } from '../../../src/model/ids.ts'
import { parseReplicaName } from '../../../src/model/ids.ts'
import type { PoolSpec } from '../../../src/model/pool.ts'
import type { Checker, TraceEvent } from '../trace.ts'
import type { LedgerChecker } from './ledger.ts'

/** A busy replica that is retired first finishes what it has in hand, ms. */
const longestDrainMs = 600_000

/** Which places each pool has, so that a replica too many may be retired: idle, and without a fault. */
export class Places implements Checker {
  readonly rule = 'places'
  readonly sees = ['committed'] as const
  private readonly ledger: LedgerChecker
  private readonly pools: readonly PoolSpec[]
  private readonly forgotten = new Set<ReplicaName>()
  /** When each pool last had more places than it wants. */
  private readonly excessMs = new Map<PoolName, number>()
  private readonly active = new Map<PoolName, Set<ReplicaName>>()

  constructor(pools: readonly PoolSpec[], ledger: LedgerChecker) {
    this.pools = pools
    this.ledger = ledger
  }

  see(event: TraceEvent, atMs: number): void {
    if (event.kind !== 'committed') return
    event.batch.decisions.forEach((changes, at) => {
      if (event.result.outcomes[at] !== 'applied') return
      for (const change of changes) {
        if (change.kind === 'replica') this.record(change.record, atMs)
        else if (change.kind === 'forget_replica') this.forget(change.replica)
      }
    })
  }

  private record({ name, pool, quarantined }: ReplicaRecord, atMs: number): void {
    this.forgotten.delete(name)
    if (quarantined) this.of(pool).delete(name)
    else this.of(pool).add(name)
    if (this.of(pool).size > this.wanted(pool)) this.excessMs.set(pool, atMs)
  }

  private forget(name: ReplicaName): void {
    this.forgotten.add(name)
    for (const names of this.active.values()) names.delete(name)
  }

  /** Its place is given up; or there were more places than wanted not long ago, and it has nothing in hand. */
  mayBeRetired(replica: ReplicaName, atMs: number): boolean {
    if (this.forgotten.has(replica)) return true
    const excessMs = this.excessMs.get(parseReplicaName(replica)?.pool ?? '') ?? Number.NEGATIVE_INFINITY
    if (atMs - excessMs > longestDrainMs) return false
    for (const task of this.ledger.tasks.values())
      if (task.replica === replica && task.status === 'leased') return false
    return true
  }

  private wanted(pool: PoolName): number {
    return this.pools.find((spec) => spec.name === pool)?.replicas.min ?? 0
  }

  private of(pool: PoolName): Set<ReplicaName> {
    let names = this.active.get(pool)
    if (names === undefined) {
      names = new Set()
      this.active.set(pool, names)
    }
    return names
  }
}
