import type { PoolName, ReplicaName } from '../../../src/model/ids.ts'
import { parseReplicaName } from '../../../src/model/ids.ts'
import type { PoolSpec } from '../../../src/model/pool.ts'
import type { Checker, TraceEvent } from '../trace.ts'
import type { LedgerChecker } from './ledger.ts'

/** Which places each pool has, so that a replica too many may be retired: idle, and without a fault. */
export class Places implements Checker {
  readonly rule = 'places'
  readonly sees = ['committed'] as const
  private readonly ledger: LedgerChecker
  private readonly pools: readonly PoolSpec[]
  private readonly active = new Map<PoolName, Set<ReplicaName>>()

  constructor(pools: readonly PoolSpec[], ledger: LedgerChecker) {
    this.pools = pools
    this.ledger = ledger
  }

  see(event: TraceEvent): void {
    if (event.kind !== 'committed') return
    event.batch.decisions.forEach((changes, at) => {
      if (event.result.outcomes[at] !== 'applied') return
      for (const change of changes) {
        if (change.kind === 'replica' && !change.record.quarantined) this.of(change.record.pool).add(change.record.name)
        else if (change.kind === 'replica') this.of(change.record.pool).delete(change.record.name)
        else if (change.kind === 'forget_replica')
          for (const names of this.active.values()) names.delete(change.replica)
      }
    })
  }

  /** More places than wanted, and this one has nothing in hand. */
  mayBeRetired(replica: ReplicaName): boolean {
    const pool = parseReplicaName(replica)?.pool ?? ''
    const wanted = this.pools.find((spec) => spec.name === pool)?.replicas.min ?? 0
    if (this.of(pool).size <= wanted) return false
    for (const task of this.ledger.tasks.values())
      if (task.replica === replica && task.status === 'leased') return false
    return true
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
