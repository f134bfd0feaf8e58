import type { AttemptRow } from '../model/rows.ts'
import { Draft, type Outcome, type View } from './outcome.ts'

/** Pulses that may be late before a main loop counts as standing still: less than two, the shortest `resetMs` in use. */
const latePulses = 1.5

/**
 * Whether the main loop stands still: then it cannot answer a reset, and the
 * pulse watch judges it. The clock of a reset runs only while the loop turns (R7).
 */
export function standsStill(view: View): boolean {
  return view.nowMs - view.replica.pulse.lastMs > latePulses * view.spec.pulse.everyMs
}

/** The reset that is due gets its whole time again: the loop it asks did not turn. */
export function resetLater(view: View, attempt: AttemptRow): Outcome {
  const draft = new Draft()
  giveTime(draft, view, attempt)
  return draft.finish()
}

/** The loop turns again after a silence of `silentMs`: only now can it see what it was asked. */
export function resetsAfterSilence(view: View, silentMs: number): Outcome | null {
  if (silentMs <= latePulses * view.spec.pulse.everyMs) return null
  const draft = new Draft()
  for (const attempt of view.attempts) giveTime(draft, view, attempt)
  return draft.finish()
}

function giveTime(draft: Draft, view: View, attempt: AttemptRow): void {
  const { phase } = attempt
  if (phase.kind !== 'returning') return
  const untilMs = Math.max(phase.untilMs, view.nowMs + view.spec.recovery.resetMs)
  draft.setAttempt({ ...attempt, phase: { ...phase, untilMs } })
}
