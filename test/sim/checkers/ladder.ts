import type { Change, ReplicaRecord } from '../../../src/model/change.ts'
import type { PoolName, ReplicaName } from '../../../src/model/ids.ts'
import type { Incident } from '../../../src/model/incident.ts'
import type { PoolSpec } from '../../../src/model/pool.ts'
import type { Checker, Trace, TraceEvent } from '../trace.ts'

/** R3: no rung more often than the ladder says, and quarantine is for a person to end. R4: closed only after the probation. R5: replacements are bounded. */
export class LadderChecker implements Checker {
  readonly rule = 'ladder'
  readonly sees = ['committed', 'commit_failed', 'supervisor'] as const
  private readonly trace: Trace
  private readonly pools: ReadonlyMap<PoolName, PoolSpec>
  private readonly actionCounts = new Map<string, number>()
  private readonly incarnations = new Map<ReplicaName, number>()
  /** Places that had a process in this life of the supervisor, and no release since: a new one replaces it. */
  private readonly spawned = new Set<ReplicaName>()
  /** Places in quarantine, with the process that it ended. */
  private readonly quarantined = new Map<ReplicaName, number>()
  private readonly respawnsMs = new Map<PoolName, number[]>()
  /** The last release of each place: it is decided once, however often it is written. */
  private readonly releasedMs = new Map<ReplicaName, number>()

  constructor(trace: Trace, pools: readonly PoolSpec[]) {
    this.trace = trace
    this.pools = new Map(pools.map((pool) => [pool.name, pool]))
  }

  see(event: TraceEvent): void {
    if (event.kind === 'committed') {
      event.batch.decisions.forEach((changes, at) => {
        this.replacements(changes, event.batch.nowMs)
        if (event.result.outcomes[at] === 'applied') this.decided(changes, event.batch.nowMs)
      })
    } else if (event.kind === 'commit_failed') {
      for (const changes of event.batch.decisions) this.replacements(changes, event.batch.nowMs)
    } else if (event.kind === 'supervisor' && event.what === 'born') {
      this.spawned.clear()
      this.respawnsMs.clear()
    }
  }

  private replacements(changes: readonly Change[], atMs: number): void {
    for (const change of changes) {
      if (change.kind === 'replica') this.replaced(change.record, atMs)
      else if (change.kind === 'audit' && change.what === 'release')
        this.released(change.target as ReplicaName, change.atMs)
    }
  }

  /** What comes next in this place replaces nothing that broke: a person wants it. */
  private released(replica: ReplicaName, atMs: number): void {
    if (this.releasedMs.get(replica) === atMs) return
    this.releasedMs.set(replica, atMs)
    this.spawned.delete(replica)
  }

  private forget(replica: ReplicaName): void {
    this.spawned.delete(replica)
    this.quarantined.delete(replica)
    this.incarnations.delete(replica)
  }

  private decided(changes: readonly Change[], atMs: number): void {
    const kinds = new Map<ReplicaName, Set<string>>()
    for (const change of changes) {
      if (change.kind === 'incident') this.incident(change.incident, kinds)
      else if (change.kind === 'forget_replica') this.forget(change.replica)
      else if (change.kind === 'audit' && change.what === 'release')
        this.quarantined.delete(change.target as ReplicaName)
    }
    for (const change of changes) {
      if (change.kind !== 'replica') continue
      const { name, incarnation } = change.record
      const charged = kinds.get(name)
      if (charged !== undefined) this.charged(change.record, charged, atMs)
      if (incarnation > (this.quarantined.get(name) ?? Number.POSITIVE_INFINITY))
        this.trace.violate('quarantine_kept', `${name}#${incarnation} is spawned, and nobody released it`)
    }
  }

  private incident(incident: Incident, kinds: Map<ReplicaName, Set<string>>): void {
    const seen = this.actionCounts.get(incident.id) ?? 0
    this.actionCounts.set(incident.id, Math.max(seen, incident.actions.length))
    for (const action of incident.actions.slice(seen)) {
      if (action.status === 'observed') continue // R12: it says what would have been done.
      if (action.strike > 0 && action.replica !== null)
        kinds.set(action.replica, (kinds.get(action.replica) ?? new Set()).add(action.kind))
      if (action.kind === 'quarantine' && action.replica !== null)
        this.quarantined.set(action.replica, action.incarnation ?? 0)
    }
    const spec = this.pools.get(incident.pool ?? '')
    const passed =
      incident.status === 'closed' && incident.timeline.at(-1)?.text.includes('probation is passed') === true
    if (spec === undefined || !passed) return
    const wellMs = (incident.closedMs ?? 0) - (incident.recoveredMs ?? Number.POSITIVE_INFINITY)
    if (wellMs < spec.recovery.probationMs)
      this.trace.violate('probation', `${incident.id} is closed after ${wellMs} ms of probation`)
  }

  /** Strikes inside the period choose the rung: `soft` soft restarts, then `hard` hard ones, then quarantine. */
  private charged({ name, pool, strikes }: ReplicaRecord, kinds: ReadonlySet<string>, atMs: number): void {
    const spec = this.pools.get(pool)
    if (spec === undefined) return
    const { soft, hard, strikePeriodMs } = spec.recovery
    const count = strikes.filter((strike) => atMs - strike.atMs < strikePeriodMs).length
    const most = kinds.has('soft_restart') ? soft : kinds.has('hard_restart') ? soft + hard : Number.POSITIVE_INFINITY
    if (count > most)
      this.trace.violate(
        'ladder',
        `${name} gets ${[...kinds].join(', ')} for its strike number ${count}; the ladder has ${soft} soft and ${hard} hard restarts`,
      )
  }

  /** A growing incarnation is a spawn. What counts is when it was decided, however long the store took. */
  private replaced({ name, pool, incarnation }: ReplicaRecord, atMs: number): void {
    const spec = this.pools.get(pool)
    const before = this.incarnations.get(name)
    if (spec === undefined || (before !== undefined && incarnation <= before)) return
    this.incarnations.set(name, incarnation)
    // A new place is written before its first process.
    if (before === undefined) return
    if (!this.spawned.has(name)) {
      this.spawned.add(name)
      return
    }
    const { intensity, intensityPeriodMs } = spec.recovery
    const recent = (this.respawnsMs.get(pool) ?? []).filter((at) => atMs - at < intensityPeriodMs)
    recent.push(atMs)
    this.respawnsMs.set(pool, recent)
    if (recent.length > intensity)
      this.trace.violate(
        'bounded_replacement',
        `${recent.length} replacements in pool ${pool} within ${intensityPeriodMs} ms; ${intensity} are allowed`,
      )
  }
}
