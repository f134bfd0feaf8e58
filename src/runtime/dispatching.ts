import type { Claim, Committed } from '../model/change.ts'
import type { Effect } from '../model/effect.ts'
import type { PoolName, ReplicaName } from '../model/ids.ts'
import type { PoolRow } from '../model/rows.ts'
import { begin, planClaims } from '../policy/dispatch.ts'
import { doubtfulReplicas, downNames, triedDependency } from '../policy/hold.ts'
import type { Clock } from '../port/clock.ts'
import type { Publisher } from './publish.ts'
import type { Tables } from './tables.ts'

/** How soon an unwritten decision, or a pool whose tasks avoid the free replicas, is tried again, ms. */
export const againMs = 250

export interface DispatchParts {
  readonly tables: Tables
  readonly clock: Clock
  readonly publisher: Publisher
  readonly execute: (effect: Effect) => void
}

function tried(trial: NonNullable<PoolRow['trial']>, replica: ReplicaName, isTaken: boolean): PoolRow['trial'] {
  return { ...trial, isOpen: !isTaken, replica }
}

/** From free places to tasks in them: which pools want a look, what is asked of the store, and what it gave. */
export class Dispatcher {
  private readonly parts: DispatchParts
  private readonly dispatchable = new Set<PoolName>()
  private redispatchAtMs = Number.POSITIVE_INFINITY

  constructor(parts: DispatchParts) {
    this.parts = parts
  }

  /** This pool may have work, or a place for it. */
  mark(pool: PoolName): void {
    this.dispatchable.add(pool)
  }

  /** Every pool is looked at again then, clock ms. */
  again(atMs: number): void {
    this.redispatchAtMs = atMs
  }

  get wakeAtMs(): number {
    let wakeAtMs = this.redispatchAtMs
    for (const { depth } of this.parts.tables.pools.values())
      if (depth.nextDueMs !== null && depth.nextDueMs < wakeAtMs) wakeAtMs = depth.nextDueMs
    return wakeAtMs
  }

  /** Pools whose scheduled tasks have come due, or whose tasks could not be placed last time. */
  private wakePools(nowMs: number): void {
    for (const pool of this.parts.tables.pools.values()) {
      const due = pool.depth.nextDueMs !== null && pool.depth.nextDueMs <= nowMs
      if (due)
        this.parts.tables.pools.set(pool.name, {
          ...pool,
          depth: { ...pool.depth, queued: pool.depth.queued + 1, nextDueMs: null },
        })
      if (due || nowMs >= this.redispatchAtMs) this.dispatchable.add(pool.name)
    }
    // Without it a turn that claims nothing would be due again at once, for ever.
    if (nowMs >= this.redispatchAtMs) this.redispatchAtMs = Number.POSITIVE_INFINITY
  }

  /** Whom to ask the store for tasks for, now. */
  plan(nowMs: number, lagMs: number): readonly Claim[] {
    const { tables } = this.parts
    this.wakePools(nowMs)
    if (tables.shuttingDown) return []
    const blocked = downNames(tables.dependencies)
    const claims: Claim[] = []
    for (const name of this.dispatchable) {
      const pool = tables.pools.get(name)
      const spec = tables.specs.get(name)
      if (pool === undefined || spec === undefined || pool.depth.queued === 0) continue
      const replicas = tables.replicasOf(name)
      const candidates = replicas.map((row) => ({ row, attempts: tables.attemptsOf(row.name) }))
      const doubtful = doubtfulReplicas(replicas, spec, tables.dependencies, nowMs)
      if (pool.thaw !== null || doubtful.size > 0) this.redispatchAtMs = Math.min(this.redispatchAtMs, nowMs + againMs)
      const triable = pool.notReady === null ? null : triedDependency(spec, tables.dependencies)
      const view = { nowMs, lagMs, replicas, blocked, doubtful, tried: triable?.spec.name ?? null }
      claims.push(...planClaims(pool, spec, candidates, view))
    }
    this.dispatchable.clear()
    return claims
  }

  /** What the store gave goes out. */
  dispatch(committed: Committed, claims: readonly Claim[]): void {
    const { tables, clock, execute, publisher } = this.parts
    const nowMs = clock.nowMs()
    const asked = new Set(claims.map((claim) => claim.pool))
    for (const [name, depth] of Object.entries(committed.depths)) {
      const pool = tables.pools.get(name)
      // Something came that nobody asked for: the next turn does.
      if (depth.queued > (pool?.depth.queued ?? 0) && !asked.has(name)) this.redispatchAtMs = nowMs
      if (pool !== undefined) tables.pools.set(name, { ...pool, depth })
    }
    claims.forEach((claim, at) => {
      const leases = committed.leases[at] ?? []
      const spec = tables.specs.get(claim.pool)
      const pool = tables.pools.get(claim.pool)
      if (spec === undefined || pool === undefined) return
      for (const lease of leases) {
        const { attempt, effect } = begin(lease, spec, nowMs)
        tables.setAttempt(attempt)
        execute(effect)
        publisher.publish({ kind: 'task', taskId: lease.taskId, pool: lease.pool, status: 'leased', atMs: nowMs })
      }
      // Nothing for this replica, which the tasks avoid, perhaps: the next one is asked then.
      if (pool.trial?.isOpen === true)
        tables.pools.set(pool.name, { ...pool, trial: tried(pool.trial, claim.replica, leases.length > 0) })
      if (leases.length > 0) {
        const before = tables.wakesMs.get(claim.replica) ?? Number.POSITIVE_INFINITY
        const deadlines = leases.map((lease) => lease.deadlineMs ?? Number.POSITIVE_INFINITY)
        tables.wakesMs.set(claim.replica, Math.min(before, nowMs + spec.leaseMs / 3, ...deadlines))
      }
      // What is queued may avoid this replica for now, or want one to itself.
      if (leases.length < claim.count && pool.depth.queued > 0) this.redispatchAtMs = nowMs + againMs
    })
  }
}
