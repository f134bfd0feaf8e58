import type { AttemptRow, DependencyRow, PoolRow, ProbeState, ReplicaRow } from '../model/rows.ts'
import { Draft, type Outcome, type View } from './outcome.ts'
import { heard } from './rows.ts'

/**
 * The supervisor itself was away for `missedMs` (R11): everybody gets that time
 * back before anything is judged. Silence while nobody listened is not silence.
 */
export function forgive(views: readonly View[], missedMs: number, nowMs: number): Outcome {
  const draft = new Draft()
  for (const view of views) {
    draft.setReplica(forgiveReplica(view.replica, missedMs, nowMs))
    for (const attempt of view.attempts) draft.setAttempt(forgiveAttempt(attempt, missedMs))
  }
  const text = `this process was paused for ${(missedMs / 1000).toFixed(1)} s: every clock was set back by as much`
  draft.notice({ kind: 'node', severity: 'warning', atMs: nowMs, text })
  return draft.finish()
}

/** A ramp that nobody could walk meanwhile is not walked. */
export function forgivePool(row: PoolRow, missedMs: number, nowMs: number): PoolRow {
  if (row.thaw === null) return row
  return { ...row, thaw: { ...row.thaw, sinceMs: Math.min(nowMs, row.thaw.sinceMs + missedMs) } }
}

/** That a dependency stayed well is not proved by time in which nobody looked. */
export function forgiveDependency(row: DependencyRow, missedMs: number): DependencyRow {
  return row.stableMs === null ? row : { ...row, stableMs: row.stableMs + missedMs }
}

function forgiveReplica(row: ReplicaRow, missedMs: number, nowMs: number): ReplicaRow {
  const { phase } = row
  return {
    ...row,
    phase: phase.kind === 'starting' ? { ...phase, startBeforeMs: phase.startBeforeMs + missedMs } : phase,
    // Never into the future: that would be blindness for as long.
    pulse: { ...heard(Math.min(nowMs, row.pulse.lastMs + missedMs)), heardMs: row.pulse.heardMs },
    judgement: null,
    liveness: forgiveProbe(row.liveness, missedMs),
    readiness: forgiveProbe(row.readiness, missedMs),
    probationUntilMs: row.probationUntilMs === null ? null : row.probationUntilMs + missedMs,
  }
}

function forgiveProbe(probe: ProbeState, missedMs: number): ProbeState {
  if (probe.asked === null) return probe
  return { ...probe, asked: { ...probe.asked, timeoutAtMs: probe.asked.timeoutAtMs + missedMs } }
}

function forgiveAttempt(attempt: AttemptRow, missedMs: number): AttemptRow {
  const { phase } = attempt
  return {
    ...attempt,
    progressMs: attempt.progressMs + missedMs,
    phase:
      phase.kind === 'running'
        ? { ...phase, sinceMs: phase.sinceMs + missedMs }
        : phase.kind === 'returning'
          ? { ...phase, untilMs: phase.untilMs + missedMs }
          : phase,
    calls: attempt.calls.map((call) => ({
      ...call,
      sinceMs: call.sinceMs + missedMs,
      deadlineMs: call.deadlineMs + missedMs,
    })),
  }
}
