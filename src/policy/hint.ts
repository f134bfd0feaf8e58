import type { ActionKind, Fault, FaultKind } from '../model/fault.ts'
import type { AttemptRow } from '../model/rows.ts'
import { act, close, note, openIncident, recover } from './incident.ts'
import type { Draft, View } from './outcome.ts'
import { recordOf } from './rows.ts'

export interface Hint {
  readonly kind: Extract<ActionKind, 'nudge' | 'compact' | 'dead_letter' | 'hold'>
  readonly fault: FaultKind
  readonly evidence: readonly string[]
}

const hints: ReadonlySet<ActionKind> = new Set(['nudge', 'compact', 'dead_letter'])

/** Writes a rung below the ladder: no strike, in the replica's open incident or in a new one. */
export function openHint(draft: Draft, view: View, attempt: AttemptRow, hint: Hint): void {
  const { nowMs, replica, spec } = view
  const fault: Fault = {
    kind: hint.fault,
    culprit: hint.kind === 'dead_letter' || hint.fault === 'budget_exceeded' ? 'task' : 'agent',
    pool: spec.name,
    replica: replica.name,
    incarnation: replica.incarnation,
    taskId: attempt.taskId,
    dependency: null,
    firstSignMs: nowMs,
    evidence: hint.evidence,
  }
  const before = view.incident
  const opened =
    before === null
      ? openIncident(fault, nowMs, replica.name)
      : note(
          { ...before, status: before.status === 'probation' ? 'open' : before.status },
          'sign',
          nowMs,
          hint.evidence[0] ?? '',
        )
  const acts = spec.recovery.mode === 'act'
  const reason = hint.evidence[0] ?? hint.fault
  const target = { replica: replica.name, incarnation: replica.incarnation, taskId: attempt.taskId }
  const acted = act(
    opened,
    { kind: hint.kind, atMs: nowMs, ...target, strike: 0, reason },
    acts ? 'decided' : 'observed',
  )
  const incident = acts ? acted : close(acted, nowMs, 'observe-only: nothing was done')
  draft.setIncident(incident)
  draft.change({ kind: 'incident', incident })
  if (acts) {
    const row = { ...draft.replica(replica), incidentId: incident.id, probationUntilMs: null }
    draft.setReplica(row)
    draft.change({ kind: 'replica', record: recordOf(row) })
  }
  const change = before === null ? 'opened' : 'changed'
  draft.notice({
    kind: 'incident',
    incident,
    severity: hint.kind === 'dead_letter' ? 'warning' : 'info',
    change,
    atMs: nowMs,
  })
  draft.notice({
    ...{ kind: 'action', pool: spec.name, replica: replica.name, taskId: attempt.taskId, action: hint.kind },
    ...{ fault: hint.fault, incidentId: incident.id, reason, atMs: nowMs },
  })
}

/** The hint has worked, or its attempt is over: the incident goes into its probation. */
export function mended(draft: Draft, view: View, attempt: AttemptRow, text: string): void {
  const { incident, nowMs, spec } = view
  const last = incident?.actions.at(-1)
  if (incident === null || incident.status !== 'open' || last === undefined) return
  if (!hints.has(last.kind) || last.taskId !== attempt.taskId) return
  const recovered = recover(incident, nowMs, text)
  draft.setIncident(recovered)
  draft.change({ kind: 'incident', incident: recovered })
  draft.setReplica({ ...draft.replica(view.replica), probationUntilMs: nowMs + spec.recovery.probationMs })
  draft.notice({ kind: 'incident', incident: recovered, severity: 'info', change: 'recovered', atMs: nowMs })
}
