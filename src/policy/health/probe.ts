import type { ProbeSpec } from '../../model/probe.ts'
import type { ProbeState } from '../../model/rows.ts'
import { onGrid } from '../grid.ts'

/** One result. The verdict changes only at a threshold, as in Kubernetes; a late or unasked answer changes nothing. */
export function answered(state: ProbeState, ok: boolean, spec: ProbeSpec, nowMs: number): ProbeState {
  const failures = ok ? 0 : state.failures + 1
  const successes = ok ? state.successes + 1 : 0
  const verdict =
    failures >= spec.failureThreshold ? 'failed' : successes >= spec.successThreshold ? 'ok' : state.verdict
  return { verdict, failures, successes, nextAtMs: onGrid(nowMs + spec.periodMs, spec.periodMs), asked: null }
}

/** Whether a question is due, and which number it carries. */
export function ask(state: ProbeState, spec: ProbeSpec, nowMs: number): ProbeState | null {
  if (state.asked !== null || nowMs < state.nextAtMs) return null
  return { ...state, asked: { id: Math.floor(nowMs), timeoutAtMs: nowMs + spec.timeoutMs } }
}

/** A question whose time is up counts as a failure. `lagMs` is our own delay, which is nobody's fault. */
export function timedOut(state: ProbeState, spec: ProbeSpec, nowMs: number, lagMs: number): ProbeState | null {
  if (state.asked === null || nowMs < state.asked.timeoutAtMs + lagMs) return null
  return answered(state, false, spec, nowMs)
}

/** When this probe next has something to do. */
export function probeWakeMs(state: ProbeState, lagMs: number): number {
  return state.asked === null ? state.nextAtMs : state.asked.timeoutAtMs + lagMs
}
