import type { Fault } from '../model/fault.ts'
import type { ActionRecord, Attribution, Incident, TimelineEntry } from '../model/incident.ts'
import { limits } from '../model/limits.ts'

/** Identity of an incident: who and when. Two incidents of one replica never open in the same millisecond. */
export function incidentId(subject: string, nowMs: number): string {
  return `inc-${Math.floor(nowMs).toString(36)}-${subject.replace('/', '.')}`
}

export function openIncident(fault: Fault, nowMs: number, subject: string): Incident {
  const signs = fault.evidence.map((text): TimelineEntry => ({ atMs: fault.firstSignMs, kind: 'sign', text }))
  return {
    id: incidentId(subject, nowMs),
    pool: fault.pool,
    replica: fault.replica,
    taskId: fault.taskId,
    dependency: fault.dependency,
    status: 'open',
    fault: { kind: fault.kind, culprit: fault.culprit, evidence: fault.evidence },
    verdict: null,
    firstSignMs: fault.firstSignMs,
    detectedMs: nowMs,
    recoveredMs: null,
    closedMs: null,
    actions: [],
    timeline: signs,
  }
}

/** The same trouble again: one more verdict in the same record. */
export function worsen(incident: Incident, fault: Fault): Incident {
  const signs = fault.evidence.map((text): TimelineEntry => ({ atMs: fault.firstSignMs, kind: 'sign', text }))
  return {
    ...incident,
    status: 'open',
    recoveredMs: null,
    taskId: incident.taskId === fault.taskId ? incident.taskId : null,
    fault: { kind: fault.kind, culprit: fault.culprit, evidence: fault.evidence },
    timeline: bounded([...incident.timeline, ...signs]),
  }
}

export function note(incident: Incident, kind: TimelineEntry['kind'], atMs: number, text: string): Incident {
  return { ...incident, timeline: bounded([...incident.timeline, { atMs, kind, text }]) }
}

export function act(
  incident: Incident,
  action: Omit<ActionRecord, 'status' | 'endedMs'>,
  status: 'decided' | 'observed' = 'decided',
): Incident {
  const actions = [...incident.actions, { ...action, status, endedMs: null }].slice(-limits.timelineLength)
  const target = action.replica ?? action.taskId ?? incident.pool ?? incident.dependency ?? 'this node'
  return note(
    { ...incident, actions },
    'action',
    action.atMs,
    `${status === 'observed' ? 'would have been done: ' : ''}${action.kind} of ${target}: ${action.reason}`,
  )
}

/** Writes how the actions that are still under way ended. */
export function settle(incident: Incident, status: 'done' | 'failed', atMs: number, text: string): Incident {
  const actions = incident.actions.map((action) =>
    action.status === 'decided' ? { ...action, status, endedMs: atMs } : action,
  )
  return note({ ...incident, actions }, 'outcome', atMs, text)
}

/** The replica is in order again; it is not over before the probation is passed (R4). */
export function recover(incident: Incident, atMs: number, text: string): Incident {
  return { ...settle(incident, 'done', atMs, text), status: 'probation', recoveredMs: atMs }
}

export function close(incident: Incident, atMs: number, text: string): Incident {
  return { ...note(incident, 'closed', atMs, text), status: 'closed', closedMs: atMs }
}

export function askForReview(incident: Incident, atMs: number, text: string): Incident {
  return { ...settle(incident, 'done', atMs, text), status: 'needs_review' }
}

/** The culprit turned out to be another one. */
export function reattribute(incident: Incident, verdict: Attribution, atMs: number): Incident {
  const changed = { ...incident, verdict, fault: { ...incident.fault, culprit: verdict.culprit } }
  return note(changed, 'verdict', atMs, `culprit is ${verdict.culprit}: ${verdict.because}`)
}

/** The first entries tell how it began, the newest how it stands; what is dropped is in the middle. */
function bounded(timeline: readonly TimelineEntry[]): readonly TimelineEntry[] {
  if (timeline.length <= limits.timelineLength) return timeline
  const head = timeline.slice(0, 20)
  return [...head, ...timeline.slice(timeline.length - (limits.timelineLength - head.length))]
}
