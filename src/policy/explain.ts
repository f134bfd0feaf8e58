import type { Incident } from '../model/incident.ts'
import type { ReplicaRow } from '../model/rows.ts'
import type { Explanation } from '../model/snapshot.ts'
import type { TaskView } from '../model/task.ts'

/** The paragraph an engineer would write: verdict, evidence, what was done, what happens next. */
export function explainIncident(incident: Incident, nowMs: number): Explanation {
  const subject = subjectOf(incident)
  const { kind, culprit, evidence } = incident.fault
  const seen = evidence.length === 0 ? '' : ` Seen: ${evidence.join('; ')}.`
  const done = incident.actions.map((action) => `${action.kind.replace('_', ' ')} (${action.status})`)
  const actions = done.length === 0 ? ' Nothing was done.' : ` Done: ${listed(done)}.`
  const noticed = `${span(incident.detectedMs - incident.firstSignMs)} after its first sign`
  const text = `${subject}: ${kind.replaceAll('_', ' ')}, ${blame(culprit)}; noticed ${noticed}, ${span(nowMs - incident.detectedMs)} ago.${seen}${actions} ${whatNext(incident)}`
  return { subject, culprit, text }
}

/** Whom an incident is about, in words. */
export function subjectOf({ replica, taskId, dependency, pool }: Incident): string {
  if (replica !== null) return replica
  if (taskId !== null) return `task ${taskId}`
  return dependency === null ? `pool ${pool}` : `dependency ${dependency}`
}

function whatNext(incident: Incident): string {
  switch (incident.status) {
    case 'open':
      return 'It is being mended now.'
    case 'probation':
      return `It was in order again after ${span((incident.recoveredMs ?? incident.detectedMs) - incident.detectedMs)} and is on probation: the incident closes when it stays well.`
    case 'needs_review':
      if (incident.replica === null && incident.fault.kind === 'budget_exceeded')
        return `It goes on by itself when the time is over, or, with as much again, by \`prunella resume ${incident.pool}\`.`
      return incident.replica === null
        ? `A person must look; then \`prunella resume ${incident.pool}\`.`
        : `A person must look; then \`prunella release ${incident.replica}\`.`
    case 'closed':
      return incident.recoveredMs === null
        ? 'It is closed.'
        : `It was in order again after ${span(incident.recoveredMs - incident.detectedMs)}; it is closed.`
  }
}

/** A replica that never had an incident; else its last one explains it. */
export function explainReplica(row: ReplicaRow): Explanation {
  const strikes = row.strikes.length === 0 ? 'no strikes' : `${row.strikes.length} strike(s)`
  const text = `${row.name} is ${row.phase.kind}, incarnation ${row.incarnation}, with ${strikes} and no open incident.`
  return { subject: row.name, culprit: null, text }
}

export function explainTask(task: TaskView): Explanation {
  const attempts = task.attempts.map(
    (attempt) =>
      `attempt ${attempt.attempt} on ${attempt.replica} ${attempt.outcome}${attempt.counted ? '' : ' (not counted)'}${attempt.error === undefined ? '' : `: ${attempt.error.message}`}`,
  )
  const history = attempts.length === 0 ? 'It has not been tried yet.' : `${capital(listed(attempts))}.`
  const reason = task.reason === null ? '' : ` Reason: ${task.reason}.`
  const next =
    task.status === 'dead_letter'
      ? ` It can be sent again with \`prunella retry ${task.id}\`.`
      : task.status === 'held'
        ? ` It waits for a person: \`prunella resolve ${task.id}\`.`
        : ''
  return {
    subject: `task ${task.id}`,
    culprit: null,
    text: `Task ${task.id} of pool ${task.pool} is ${task.status.replace('_', ' ')}. ${history}${reason}${next}`,
  }
}

function blame(culprit: Incident['fault']['culprit']): string {
  return culprit === 'unknown' ? 'too little evidence yet to blame agent or task' : `the ${culprit} is to blame`
}

function listed(items: readonly string[]): string {
  if (items.length <= 1) return items.join('')
  return `${items.slice(0, -1).join(', ')}, then ${items.at(-1)}`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function span(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`
}
