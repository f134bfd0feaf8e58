/** What a pool does when a dependency of its goes down, and when it is back (R2). */
import type { IncidentId } from '../model/ids.ts'
import type { Incident } from '../model/incident.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow, DependencyRow, PoolRow, ReplicaRow } from '../model/rows.ts'
import { refundAttempts } from './attempts.ts'
import { chanceOf } from './backoff.ts'
import { tableOf } from './breaker.ts'
import { giveBack } from './dependency.ts'
import { anyDependency } from './evidence.ts'
import { faultTable } from './fault-table.ts'
import { type Dependencies, holdingDependency, holdReason, waitsFor } from './hold.ts'
import { reattribute, recover, settle } from './incident.ts'
import { Draft, type Outcome } from './outcome.ts'
import { noticePhase } from './recover.ts'
import { recordOf } from './rows.ts'

/** A pool with everything that a turn of its dependencies touches. */
export interface PoolView {
  readonly nowMs: number
  readonly spec: PoolSpec
  readonly pool: PoolRow
  readonly replicas: readonly ReplicaRow[]
  readonly attempts: readonly AttemptRow[]
  readonly incidents: ReadonlyMap<IncidentId, Incident>
  /** As they are now. */
  readonly dependencies: Dependencies
}

/** `down` was found down: the pool is held where it depends on it, and all that its failures charged is given back. */
export function onDown(view: PoolView, down: DependencyRow): Outcome {
  const { spec, nowMs } = view
  const draft = new Draft()
  draft.pool = gated(draft, view)
  const since = down.breaker.kind === 'closed' ? nowMs : down.breaker.firstSignMs
  const needsIt = spec.dependsOn.includes(down.spec.name)
  const isOfIt = (dependency: string | null, atMs: number): boolean =>
    atMs >= since && (dependency === down.spec.name || (needsIt && dependency === anyDependency))
  if (needsIt) draft.pool = { ...draft.pool, failedStarts: 0 }
  refundAttempts(draft, view, (mark) => isOfIt(mark.dependency, mark.atMs))
  for (const row of view.replicas) {
    const strikes = row.strikes.filter((strike) => !isOfIt(strike.dependency, strike.atMs))
    if (strikes.length === row.strikes.length) continue
    const refunded = { ...row, strikes }
    draft.setReplica(refunded)
    draft.change({ kind: 'replica', record: recordOf(refunded) })
  }
  for (const open of view.incidents.values()) {
    if (open.pool !== spec.name || open.replica === null || open.fault.culprit === 'dependency') continue
    if (!isOfIt(open.dependency, open.detectedMs)) continue
    const because = `${down.spec.name} is down for everybody`
    const verdict = { culprit: 'dependency', confidence: 1, because, table: tableOf(down) } as const
    const blamed = reattribute(open, verdict, nowMs)
    const incident = spared(draft, view, blamed)
    draft.setIncident(incident)
    draft.change({ kind: 'incident', incident })
  }
  return draft.finish()
}

/** A replica that drains because it alone seemed to have lost its connections stays after all: nobody is replaced for an outage (R2). */
function spared(draft: Draft, { replicas, nowMs, spec }: PoolView, incident: Incident): Incident {
  const row = replicas.find(({ name, incidentId }) => name === incident.replica && incidentId === incident.id)
  const isForIt = faultTable[incident.fault.kind].drainsFirst === 'bounded'
  if (!isForIt || row?.phase.kind !== 'draining' || row.phase.after !== 'restart') return incident
  const ready: ReplicaRow = {
    ...draft.replica(row),
    phase: { kind: 'ready', sinceMs: nowMs },
    probationUntilMs: nowMs + spec.recovery.probationMs,
  }
  draft.setReplica(ready)
  draft.change({ kind: 'replica', record: recordOf(ready) })
  noticePhase(draft, ready, nowMs)
  const text = `${ready.name} stays: it is not alone`
  return recover(settle(incident, 'failed', nowMs, 'the replacement is called off'), nowMs, text)
}

/** `back` answers again. `held` are the dependencies as they were while it was down. */
export function onBack(view: PoolView, back: DependencyRow, held: Dependencies): Outcome {
  const { pool, spec, nowMs } = view
  const draft = new Draft()
  draft.pool = gated(draft, view)
  for (const row of spec.dependsOn.includes(back.spec.name) ? view.replicas : []) {
    // Its own checks failed for the same reason; by their period they would keep work from it for half a minute more.
    if (row.phase.kind === 'ready' && row.readiness.verdict === 'failed')
      draft.setReplica({ ...row, readiness: { ...row.readiness, nextAtMs: nowMs } })
  }
  if (pool.notReady !== null && draft.pool.notReady === null) {
    draft.pool = { ...draft.pool, thaw: { sinceMs: nowMs, rampMs: back.spec.breaker.rampMs } }
    for (const row of view.replicas) {
      if (row.phase.kind !== 'waiting' || !Number.isFinite(row.phase.spawnAtMs)) continue
      // Those that could not start without it need not wait for their backoff; not all in the same moment.
      const spawnAtMs = Math.min(row.phase.spawnAtMs, nowMs + spec.recovery.backoff.baseMs * chanceOf(row.name))
      draft.setReplica({ ...row, phase: { kind: 'waiting', spawnAtMs } })
    }
  }
  const was = held.get(back.spec.name)
  const sinceMs = was === undefined || was.breaker.kind === 'closed' ? nowMs : was.breaker.firstSignMs
  for (const attempt of view.attempts) {
    if (waitsFor(attempt, spec, held)?.spec.name !== back.spec.name) continue
    draft.setAttempt(giveBack(attempt, sinceMs, nowMs))
  }
  return draft.finish()
}

/** The pool's gate as its dependencies want it now. */
function gated(draft: Draft, { pool, spec, dependencies, nowMs }: PoolView): PoolRow {
  const holding = holdingDependency(spec, dependencies)
  const notReady = holding === null ? null : holdReason(holding)
  if (notReady === pool.notReady) return pool
  if ((notReady === null) !== (pool.notReady === null)) {
    const text =
      notReady === null
        ? 'ready again'
        : `not ready: ${notReady}; running tasks go on, none is started, nobody is restarted`
    draft.notice({ kind: 'pool', pool: pool.name, text, atMs: nowMs })
  }
  return { ...pool, notReady, trial: null, thaw: notReady === null ? pool.thaw : null }
}
