/**
 * What a dependency's outage and return mean for everybody who shares it (R2):
 * one incident, held pools, what its failures charged given back, and a return
 * with a ramp. The breaker says when; this says what follows.
 */
import type { Notice } from '../model/event.ts'
import type { FaultKind } from '../model/fault.ts'
import type { IncidentId } from '../model/ids.ts'
import type { Incident } from '../model/incident.ts'
import type { OperatorRequest } from '../model/observation.ts'
import type { CheckResult } from '../model/probe.ts'
import type { AttemptRow, DependencyRow } from '../model/rows.ts'
import {
  answeredWhileOpen,
  askSoon,
  closed,
  firstSignMs,
  isDown,
  isFlapping,
  isTried,
  judgeDependency,
  opened,
  overdueAtMs,
  overdueReason,
  reasonOf,
  type Sighting,
  saw,
  tableOf,
  triedWhileOpen,
} from './breaker.ts'
import { answered, ask, probeWakeMs, timedOut } from './health/probe.ts'
import { isGating } from './hold.ts'
import { act, close, note, openIncident, recover, worsen } from './incident.ts'
import { Draft, type Outcome } from './outcome.ts'

const faultOfRole: Readonly<Record<DependencyRow['spec']['role'], FaultKind>> = {
  model_provider: 'llm_unavailable',
  database: 'database_unavailable',
  tool: 'tool_unavailable',
  other: 'dependency_unavailable',
}

export function faultKindOf(row: DependencyRow): FaultKind {
  return faultOfRole[row.spec.role]
}

/** What decides about one dependency may look at. */
export interface DependencyView {
  readonly nowMs: number
  readonly row: DependencyRow
  readonly incidents: ReadonlyMap<IncidentId, Incident>
  /** Pools that depend on it, for the words of the incident. */
  readonly poolNames: readonly string[]
}

export type Turn = 'opened' | 'closed' | 'trial' | null

export interface DependencyOutcome {
  readonly outcome: Outcome
  /** Whether its pools must now be held, let back in, or one of them may try it with a task. */
  readonly turn: Turn
}

/** One call of an agent that used it. */
export function onSighting(view: DependencyView, sighting: Sighting): DependencyOutcome {
  const row = saw(view.row, sighting)
  if (isDown(row)) {
    const after = triedWhileOpen(row, sighting)
    return isDown(after) ? kept(after) : closeBreaker(view, after)
  }
  // What succeeds while its check fails may be a cache.
  if (sighting.ok && row.last?.result.ok !== false) return kept(row)
  return judge(view, row)
}

/**
 * The node's own check has answered.
 *
 * @param canTry  A pool that it holds has a task for a trial.
 */
export function onChecked(
  view: DependencyView,
  result: CheckResult,
  latencyMs: number,
  canTry = false,
): DependencyOutcome {
  const { nowMs } = view
  const before = view.row
  const last = { result, latencyMs, atMs: nowMs }
  const row = { ...before, last, check: answered(before.check, result.ok, before.spec.probe, nowMs) }
  if (!isDown(row)) {
    const judged = judge(view, row)
    return judged.turn === null && row.check.verdict !== before.check.verdict ? told(judged, view, row, result) : judged
  }
  const after = answeredWhileOpen(row, result.ok, nowMs, canTry)
  if (!isDown(after)) return closeBreaker(view, after)
  return isTried(after) ? { ...kept(after), turn: 'trial' } : kept(after)
}

/** A failure that names nothing, in a pool that depends on it: its check is asked soon. */
export function suspect(view: DependencyView): Outcome {
  return kept(askSoon(view.row, view.nowMs)).outcome
}

/** Time has passed: a check is due, did not answer, or the outage is over for good. */
export function decideDependency(
  view: DependencyView,
  lagMs: number,
): (DependencyOutcome & { readonly wakeAtMs: number }) | { readonly outcome: null; readonly wakeAtMs: number } {
  const { row, nowMs } = view
  if (row.stableMs !== null && nowMs >= row.stableMs) return { ...settle(view), wakeAtMs: nowMs }
  if (timedOut(row.check, row.spec.probe, nowMs, lagMs) !== null) {
    const reason = `no answer within ${row.spec.probe.timeoutMs / 1000} s`
    return { ...onChecked(view, { ok: false, reason }, row.spec.probe.timeoutMs), wakeAtMs: nowMs }
  }
  // Here and not at each failure: by now everything that has come was read, the check's answer included.
  const overdueMs = overdueAtMs(row, nowMs) + lagMs
  if (nowMs >= overdueMs) return { ...openBreaker(view, row, overdueReason(row, nowMs), 0.8), wakeAtMs: nowMs }
  const asked = ask(row.check, row.spec.probe, nowMs)
  if (asked !== null) {
    const draft = new Draft()
    draft.setDependency({ ...row, check: asked })
    draft.effect({ kind: 'probe', dependency: row.spec.name })
    return { outcome: draft.finish(), turn: null, wakeAtMs: nowMs }
  }
  const wakeAtMs = Math.min(probeWakeMs(row.check, lagMs), row.stableMs ?? Number.POSITIVE_INFINITY, overdueMs)
  return { outcome: null, wakeAtMs }
}

function kept(row: DependencyRow): DependencyOutcome {
  const draft = new Draft()
  draft.setDependency(row)
  return { outcome: draft.finish(), turn: null }
}

function told(
  of: DependencyOutcome,
  { nowMs }: DependencyView,
  row: DependencyRow,
  result: CheckResult,
): DependencyOutcome {
  const draft = new Draft()
  for (const each of of.outcome.dependencies) draft.setDependency(each)
  draft.notice({ kind: 'dependency', dependency: row.spec.name, result, atMs: nowMs })
  return { outcome: draft.finish(), turn: null }
}

function judge(view: DependencyView, row: DependencyRow): DependencyOutcome {
  const verdict = judgeDependency(row, view.nowMs)
  if (verdict.kind === 'up') return kept({ ...row, suspectMs: null })
  if (verdict.kind === 'suspect') return kept(askSoon(row, view.nowMs))
  return openBreaker(view, row, verdict.reason, verdict.confidence)
}

function openBreaker(
  view: DependencyView,
  before: DependencyRow,
  reason: string,
  confidence: number,
): DependencyOutcome {
  const { nowMs, poolNames } = view
  const { name } = before.spec
  const signMs = firstSignMs(before, nowMs)
  const table = tableOf(before)
  const row = opened(before, reason, nowMs)
  const flapping = isFlapping(row, nowMs)
  const evidence = [`${name}: ${reason}`]
  const kind = faultKindOf(row)
  const fault = {
    kind,
    culprit: 'dependency',
    pool: poolNames.length === 1 ? (poolNames[0] ?? null) : null,
    replica: null,
    incarnation: null,
    taskId: null,
    dependency: name,
    firstSignMs: signMs,
    evidence,
  } as const
  const known = row.incidentId === null ? undefined : view.incidents.get(row.incidentId)
  const begun = known === undefined ? openIncident(fault, nowMs, name) : worsen(known, fault)
  const because = flapping ? `${reason}; it flaps: down ${row.openedMs.length} times` : reason
  const verdict = { culprit: 'dependency', confidence, because, table } as const
  const judged = note({ ...begun, verdict }, 'verdict', nowMs, `${kind}, culprit dependency: ${because}`)
  const held = isGating(row) && poolNames.length > 0
  const action = {
    kind: 'hold',
    atMs: nowMs,
    replica: null,
    incarnation: null,
    taskId: null,
    strike: 0,
    reason: held
      ? `pools ${poolNames.join(', ')}: nothing new is started, nobody is restarted`
      : 'tasks that need it wait',
  } as const
  const incident = act(judged, action)
  const draft = new Draft()
  write(draft, { ...row, incidentId: incident.id }, incident)
  draft.notice(
    { kind: 'dependency', dependency: name, result: { ok: false, reason }, atMs: nowMs },
    {
      kind: 'incident',
      incident,
      severity: isGating(row) ? 'critical' : 'warning',
      change: known === undefined ? 'opened' : 'changed',
      atMs: nowMs,
    },
    ...(held ? poolNames : []).map((pool) => actionOf('hold', pool, incident, because, nowMs)),
  )
  return { outcome: draft.finish(), turn: 'opened' }
}

/** A person takes it for mended: written with who and why (R9). If it is not so, its failures open it again. */
export function onForced(view: DependencyView, request: OperatorRequest): DependencyOutcome {
  return closeBreaker(view, closed(view.row, view.nowMs), request)
}

function closeBreaker(view: DependencyView, row: DependencyRow, by: OperatorRequest | null = null): DependencyOutcome {
  const { nowMs, incidents } = view
  const { name } = row.spec
  const draft = new Draft()
  const incident = row.incidentId === null ? undefined : incidents.get(row.incidentId)
  const down = view.row.breaker.kind === 'closed' ? 0 : nowMs - view.row.breaker.sinceMs
  const how = by === null ? 'answers again' : `is taken for mended by ${by.who} (${by.reason})`
  const text = `${name} ${how} after ${(down / 1000).toFixed(1)} s; its pools are let back in over ${row.spec.breaker.rampMs / 1000} s`
  const recovered = incident === undefined ? null : recover(incident, nowMs, text)
  write(draft, row, recovered)
  if (by !== null)
    draft.change({ kind: 'audit', atMs: nowMs, who: by.who, what: 'close_breaker', target: name, reason: by.reason })
  draft.notice({ kind: 'dependency', dependency: name, result: { ok: true }, atMs: nowMs })
  if (recovered !== null) {
    draft.notice(
      { kind: 'incident', incident: recovered, severity: 'info', change: 'recovered', atMs: nowMs },
      ...(isGating(row) ? view.poolNames : []).map((pool) => actionOf('resume', pool, recovered, text, nowMs)),
    )
  }
  return { outcome: draft.finish(), turn: 'closed' }
}

function actionOf(action: 'hold' | 'resume', pool: string, incident: Incident, reason: string, atMs: number): Notice {
  const { id: incidentId, fault } = incident
  return { kind: 'action', pool, replica: null, taskId: null, action, fault: fault.kind, incidentId, reason, atMs }
}

/** It stayed well for long enough: the incident is closed, once for all the times it flapped. */
function settle(view: DependencyView): DependencyOutcome {
  const { nowMs, row, incidents } = view
  const draft = new Draft()
  const incident = row.incidentId === null ? undefined : incidents.get(row.incidentId)
  const closed = incident === undefined ? null : close(incident, nowMs, `${row.spec.name} stayed well`)
  write(draft, { ...row, stableMs: null, incidentId: null }, closed)
  if (closed !== null)
    draft.notice({ kind: 'incident', incident: closed, severity: 'info', change: 'closed', atMs: nowMs })
  return { outcome: draft.finish(), turn: null }
}

function write(draft: Draft, row: DependencyRow, incident: Incident | null): void {
  const { breaker } = row
  draft.setDependency(row)
  const down =
    breaker.kind === 'closed'
      ? null
      : { sinceMs: breaker.sinceMs, firstSignMs: breaker.firstSignMs, reason: reasonOf(row) }
  const { openedMs } = row
  const record = { dependency: row.spec.name, down, openedMs, incidentId: row.incidentId }
  draft.change({ kind: 'dependency', record })
  if (incident === null) return
  draft.setIncident(incident)
  draft.change({ kind: 'incident', incident })
}

/** Time that an attempt spent waiting for what was down since `sinceMs` does not count against it. */
export function giveBack(attempt: AttemptRow, sinceMs: number, nowMs: number): AttemptRow {
  const heldFor = (fromMs: number): number => Math.max(0, nowMs - Math.max(sinceMs, fromMs))
  const { phase } = attempt
  return {
    ...attempt,
    progressMs: attempt.progressMs + heldFor(attempt.progressMs),
    phase: phase.kind === 'running' ? { ...phase, sinceMs: phase.sinceMs + heldFor(phase.sinceMs) } : phase,
    calls: attempt.calls.map((call) => {
      const heldMs = heldFor(call.sinceMs)
      return { ...call, sinceMs: call.sinceMs + heldMs, deadlineMs: call.deadlineMs + heldMs }
    }),
  }
}
