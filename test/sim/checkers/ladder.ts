import type { ReplicaRecord } from '../../../src/model/change.ts'
import type { Incident } from '../../../src/model/incident.ts'
import type { PoolName, ReplicaName } from '../../../src/model/ids.ts'
import type { PoolSpec } from '../../../src/model/pool.ts'
import type { Checker, Trace, TraceEvent } from '../trace.ts'

interface Charged {
  readonly atMs: number
  readonly kind: string
  readonly incarnation: number | null
  readonly taskId: string | null
}

/** R3: no rung more often than the ladder says. R4: closed only after the probation. R5: replacements are bounded. */
export class LadderChecker implements Checker {
  readonly rule = 'ladder'
  readonly sees = ['committed', 'commit_failed', 'supervisor', 'operator'] as const
  private readonly trace: Trace
  private readonly pools: ReadonlyMap<PoolName, PoolSpec>
  private readonly charged = new Map<ReplicaName, Charged[]>()
  private readonly actionCounts = new Map<string, number>()
  private readonly incarnations = new Map<ReplicaName, number>()
  /** Places that had a process in this life of the supervisor, and no release since: a new one replaces it. */
  private readonly spawned = new Set<ReplicaName>()
  private readonly respawnsMs = new Map<PoolName, number[]>()

  constructor(trace: Trace, pools: readonly PoolSpec[]) {
    this.trace = trace
    this.pools = new Map(pools.map((pool) => [pool.name, pool]))
  }

  see(event: TraceEvent, atMs: number): void {
    if (event.kind === 'committed' || event.kind === 'commit_failed') {
      for (const changes of event.batch.decisions) for (const change of changes) if (change.kind === 'replica') this.replaced(change.record, event.batch.nowMs)
    }
    if (event.kind === 'committed') {
      event.batch.decisions.forEach((changes, at) => {
        if (event.result.outcomes[at] !== 'applied') return
        for (const change of changes) if (change.kind === 'incident') this.incident(change.incident)
        for (const change of changes) {
          if (change.kind === 'replica') this.record(change.record, atMs)
          else if (change.kind === 'forget_replica') this.forget(change.replica)
        }
      })
    } else if (event.kind === 'supervisor' && event.what === 'born') {
      this.spawned.clear()
      this.respawnsMs.clear()
    } else if (event.kind === 'operator' && event.command.kind === 'release') {
      this.spawned.delete(event.command.replica)
      this.charged.delete(event.command.replica)
    }
  }

  private forget(replica: ReplicaName): void {
    this.spawned.delete(replica)
    this.incarnations.delete(replica)
  }

  private incident(incident: Incident): void {
    const seen = this.actionCounts.get(incident.id) ?? 0
    this.actionCounts.set(incident.id, Math.max(seen, incident.actions.length))
    for (const action of incident.actions.slice(seen)) {
      if (action.strike === 0 || action.replica === null) continue
      const charged = this.charged.get(action.replica) ?? []
      charged.push({ atMs: action.atMs, kind: action.kind, incarnation: action.incarnation, taskId: action.taskId })
      this.charged.set(action.replica, charged)
    }
    const spec = this.pools.get(incident.pool)
    const passed = incident.status === 'closed' && incident.timeline.at(-1)?.text.includes('probation is passed') === true
    if (spec === undefined || !passed) return
    const wellMs = (incident.closedMs ?? 0) - (incident.recoveredMs ?? Number.POSITIVE_INFINITY)
    if (wellMs < spec.recovery.probationMs) this.trace.violate('probation', `${incident.id} is closed after ${wellMs} ms of probation`)
  }

  private record(record: ReplicaRecord, atMs: number): void {
    const spec = this.pools.get(record.pool)
    if (spec === undefined) return
    const { soft, hard, strikePeriodMs } = spec.recovery
    // What was refunded is not in the record any more: it does not count here either.
    const kept = (this.charged.get(record.name) ?? []).filter((charge) => record.strikes.some((strike) => strike.atMs === charge.atMs && strike.taskId === charge.taskId) && atMs - charge.atMs < strikePeriodMs)
    this.charged.set(record.name, kept)
    const softCount = kept.filter((charge) => charge.kind === 'soft_restart').length
    // One process is ended once, however many of its attempts stall while it drains.
    const ended = (kind: string): number => new Set(kept.filter((charge) => charge.kind === kind).map((charge) => charge.incarnation)).size
    const hardCount = ended('hard_restart')
    if (softCount > soft) this.trace.violate('ladder', `${record.name} had ${softCount} soft restarts inside its strike period; the ladder has ${soft}`)
    if (hardCount > hard) this.trace.violate('ladder', `${record.name} had ${hardCount} hard restarts inside its strike period; the ladder has ${hard}`)
    const quarantines = ended('quarantine')
    if (quarantines > 1) this.trace.violate('ladder', `${record.name} was quarantined ${quarantines} times without a release`)
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
    if (recent.length > intensity) this.trace.violate('bounded_replacement', `${recent.length} replacements in pool ${pool} within ${intensityPeriodMs} ms; ${intensity} are allowed`)
  }
}
