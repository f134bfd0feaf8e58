import type { Change } from '../../../src/model/change.ts'
import type { IncidentId, PoolName } from '../../../src/model/ids.ts'
import { parseReplicaName } from '../../../src/model/ids.ts'
import type { PoolSpec } from '../../../src/model/pool.ts'
import type { DependencySpec } from '../../../src/model/probe.ts'
import type { Checker, Trace, TraceEvent } from '../trace.ts'
import type { LedgerChecker } from './ledger.ts'

/** Failures of an outage may still be read, and its calls give up, so long after it; a supervisor that was away reads late too, ms. */
const aftermathMs = 45_000
const ramp = { first: 0.1, rest: 0.9 }

/**
 * R2: an open breaker asks its dependency rarely, is opened for a reason, makes
 * one incident of one outage and of one time of flapping, and lets its pools
 * back in by a ramp.
 */
export class BreakerChecker implements Checker {
  readonly rule = 'breaker'
  readonly sees = ['committed', 'commit_failed', 'probed', 'provider', 'supervisor'] as const
  private readonly trace: Trace
  private readonly ledger: LedgerChecker
  private readonly pools: readonly PoolSpec[]
  private readonly spec: DependencySpec
  private readonly isGating: boolean
  private isOpen = false
  private isDown = false
  /** Until when what is left of an outage may pass for one. */
  private excusedUntilMs = Number.NEGATIVE_INFINITY
  private probedMs = Number.NEGATIVE_INFINITY
  private openedMs: number[] = []
  /** Until when another outage belongs to the incident that there is. */
  private oneIncidentUntilMs = Number.NEGATIVE_INFINITY
  private incidentId: IncidentId | null = null
  /** Since when its pools are let back in, or null where nobody knows. */
  private thawedMs: number | null = null

  constructor(trace: Trace, ledger: LedgerChecker, pools: readonly PoolSpec[], spec: DependencySpec) {
    this.trace = trace
    this.ledger = ledger
    this.pools = pools.filter(({ dependsOn }) => dependsOn.includes(spec.name))
    this.spec = spec
    this.isGating = spec.critical || spec.role === 'model_provider'
  }

  see(event: TraceEvent, atMs: number): void {
    switch (event.kind) {
      case 'provider':
        this.isDown = !event.up
        if (event.up) this.excuse(atMs)
        return
      case 'supervisor':
        this.excuse(atMs)
        // The next one asks at once, and lets in whom it finds.
        if (event.what === 'born') this.probedMs = Number.NEGATIVE_INFINITY
        if (event.what === 'born') this.thawedMs = null
        return
      case 'commit_failed':
        this.excuse(atMs)
        return
      case 'probed':
        if (this.isOpen && atMs - this.probedMs < this.spec.breaker.probeMs)
          this.trace.violate('probes_paced', `${this.spec.name} is asked again after ${atMs - this.probedMs} ms`)
        this.probedMs = atMs
        return
      case 'committed':
        event.batch.decisions.forEach((changes, at) => {
          if (event.result.outcomes[at] === 'applied') this.decided(changes, event.batch.nowMs)
        })
        if (event.result.leases.some((leases) => leases.length > 0)) this.ramped(event, event.batch.nowMs)
        return
      default:
    }
  }

  private excuse(atMs: number): void {
    this.excusedUntilMs = Math.max(this.excusedUntilMs, atMs + aftermathMs)
  }

  private decided(changes: readonly Change[], atMs: number): void {
    const oneIncidentUntilMs = this.oneIncidentUntilMs
    for (const change of changes) {
      if (change.kind === 'dependency') this.turned(change.record.down !== null, atMs)
      if (change.kind !== 'incident' || change.incident.dependency !== this.spec.name) continue
      const { id, replica, fault } = change.incident
      if (replica !== null || fault.culprit !== 'dependency' || id === this.incidentId) continue
      if (this.incidentId !== null && atMs < oneIncidentUntilMs)
        this.trace.violate('one_incident', `${id} is opened, and ${this.incidentId} is not over`)
      this.incidentId = id
    }
  }

  private turned(isOpen: boolean, atMs: number): void {
    if (isOpen === this.isOpen) return
    this.isOpen = isOpen
    const { flapMs, stableMs } = this.spec.breaker
    if (isOpen) {
      this.openedMs = [...this.openedMs.filter((at) => atMs - at < flapMs), atMs]
      this.oneIncidentUntilMs = Number.POSITIVE_INFINITY
      this.thawedMs = null
      if (!this.isDown && atMs > this.excusedUntilMs)
        this.trace.violate('blamed_rightly', `${this.spec.name} is found down, and is not`)
      return
    }
    const isFlapping = this.openedMs.filter((at) => atMs - at < flapMs).length > 1
    this.oneIncidentUntilMs = atMs + (isFlapping ? flapMs : stableMs)
    this.thawedMs = atMs
  }

  /** By its own clock: a tenth of the places at first, all of them when the ramp ends. */
  private ramped({ result }: TraceEvent & { readonly kind: 'committed' }, atMs: number): void {
    if (this.thawedMs === null || !this.isGating) return
    const share = ramp.first + (ramp.rest * (atMs - this.thawedMs)) / this.spec.breaker.rampMs
    if (share >= 1) return
    const begun = new Set(result.leases.flat().map(({ pool }) => pool))
    for (const { name, replicas, concurrency } of this.pools) {
      if (!begun.has(name)) continue
      const most = Math.max(1, Math.floor(replicas.max * concurrency * share))
      const count = this.inHand(name)
      if (count > most) this.trace.violate('ramped', `${name} has ${count} tasks in hand, the ramp allows ${most}`)
    }
  }

  private inHand(pool: PoolName): number {
    let count = 0
    for (const { status, replica } of this.ledger.tasks.values())
      if ((status === 'leased' || status === 'returning') && parseReplicaName(replica ?? '')?.pool === pool) count += 1
    return count
  }
}
