/** What is said of healing rather than done by it: verdicts of a pool that only observes, and the alarm of too much healing. */
import { act, close, note, openIncident } from './incident.ts'
import type { Draft, Outcome, View } from './outcome.ts'
import type { Judgement } from './sign.ts'
import { newWatch } from './watch.ts'

const hourMs = 3_600_000

/** R12: what would have been done is recorded, once, and every living process is left alone. */
export function observeOnly(draft: Draft, view: View, judged: Judgement): Outcome {
  const { nowMs, replica } = view
  const { fault, verdict, action, strike, sign } = judged
  const reason = `${fault.kind}, culprit ${verdict.culprit}: ${verdict.because}`
  const target = { replica: replica.name, incarnation: replica.incarnation, taskId: fault.taskId }
  // More may be seen of it in one moment, and its end acted on: each has an incident of its own.
  const subject = sign.attempt?.taskId ?? `${replica.name}.${fault.kind}`
  const opened = note({ ...openIncident(fault, nowMs, subject), verdict }, 'verdict', nowMs, reason)
  const acted = act(opened, { kind: action, atMs: nowMs, ...target, strike, reason }, 'observed')
  const incident = close(acted, nowMs, 'observe-only: nothing was done')
  draft.setIncident(incident)
  draft.change({ kind: 'incident', incident })
  draft.notice({ kind: 'incident', incident, severity: 'info', change: 'opened', atMs: nowMs })
  const { phase } = replica
  draft.setReplica({
    ...draft.replica(replica),
    judgement: null,
    observedMs: replica.pulse.lastMs,
    // A start that takes too long may take as long as it likes.
    phase: phase.kind === 'starting' ? { ...phase, startBeforeMs: Number.POSITIVE_INFINITY } : phase,
  })
  if (sign.attempt !== null) {
    const watch = view.watches.get(sign.attempt.taskId) ?? newWatch(sign.attempt, replica)
    draft.setWatch({ ...watch, stallSaid: true })
  }
  return draft.finish()
}

/** R10: healing must not hide defects. Too many in an hour, and people are told, once an hour, though every task succeeded. */
export function countSoft(draft: Draft, view: View): void {
  const { nowMs, spec } = view
  const pool = draft.pool ?? view.pool
  const limit = spec.recovery.alertAfterSoft
  const softMs = [...pool.softMs.filter((at) => nowMs - at < hourMs), nowMs].slice(-limit)
  const isNews = pool.alarmedMs === null || nowMs - pool.alarmedMs >= hourMs
  const alarms = softMs.length >= limit && isNews
  draft.pool = { ...pool, softMs, alarmedMs: alarms ? nowMs : pool.alarmedMs }
  if (!alarms) return
  const text = `pool ${pool.name}: ${limit} soft restarts within an hour. Healing works, and hides a defect: look at the agent.`
  draft.notice({ kind: 'node', severity: 'critical', atMs: nowMs, text })
}
