import { verdictDueMs } from './blame.ts'
import { close } from './incident.ts'
import { Draft, type Outcome, type View } from './outcome.ts'
import { recordOf } from './rows.ts'

/** Proof of recovery: it stayed well for the whole probation (R4), and its verdict no longer waits for what a suspect task does next. */
export function passProbation(view: View): { readonly outcome: Outcome | null; readonly wakeAtMs: number } {
  const { nowMs, replica, incident, attempts } = view
  if (replica.probationUntilMs === null) return { outcome: null, wakeAtMs: Number.POSITIVE_INFINITY }
  const dueMs = Math.max(replica.probationUntilMs, verdictDueMs(view) ?? Number.NEGATIVE_INFINITY)
  if (nowMs < dueMs) return { outcome: null, wakeAtMs: dueMs }
  // Not when the action returned, but when it has got somewhere again; with nothing to do its pulse must do.
  const recoveredMs = incident?.recoveredMs ?? Number.NEGATIVE_INFINITY
  const progressed = attempts.length === 0 || attempts.some(({ progressMs }) => progressMs > recoveredMs)
  if (!progressed) return { outcome: null, wakeAtMs: Number.POSITIVE_INFINITY }
  const draft = new Draft()
  const row = { ...replica, probationUntilMs: null, incidentId: null }
  draft.setReplica(row)
  draft.change({ kind: 'replica', record: recordOf(row) })
  if (incident !== null && incident.status === 'probation') {
    const closed = close(incident, nowMs, 'the probation is passed')
    draft.setIncident(closed)
    draft.change({ kind: 'incident', incident: closed })
    draft.notice({ kind: 'incident', incident: closed, severity: 'info', change: 'closed', atMs: nowMs })
  }
  return { outcome: draft.finish(), wakeAtMs: nowMs }
}
