import type { PulseSpec } from '../../model/pool.ts'
import type { AttemptRow, ReplicaRow } from '../../model/rows.ts'

/** How often a silent process is looked at. */
const lookEveryMs = 500
/** CPU time that a silent process burnt since the first look, above which it was not starved: it had the time to pulse. */
const spinningCpuMs = 200

export type PulseVerdict =
  | { readonly kind: 'fine'; readonly wakeAtMs: number }
  /** Ask /proc; judge when the answer is there. */
  | { readonly kind: 'look'; readonly wakeAtMs: number }
  | { readonly kind: 'hung'; readonly why: 'stopped' | 'spinning' | 'blocked'; readonly evidence: readonly string[] }

/**
 * What the silence of a main loop means (product.md, section 3). Silent and
 * stopped: hung. Silent, running and burning CPU: spinning, even inside a tool,
 * unless declared as blocking. Silent and asleep, or with a child process:
 * waiting, judged by the deadline of what it declared, or by the step's.
 * Silent, runnable and without CPU: starved by its neighbours, not at fault.
 */
export function judgePulse(
  row: ReplicaRow,
  attempts: readonly AttemptRow[],
  pulse: PulseSpec,
  undeclaredMs: number,
  nowMs: number,
  lagMs: number,
): PulseVerdict {
  const { lastMs, firstLook, lastLook, askedMs } = row.pulse
  const silentMs = nowMs - lastMs
  const suspectMs = pulse.suspectMs + lagMs
  const hungMs = pulse.hungMs + lagMs
  if (silentMs < suspectMs) return { kind: 'fine', wakeAtMs: lastMs + suspectMs }
  const excusedUntilMs = declaredBlockUntilMs(attempts)
  if (nowMs < excusedUntilMs) return { kind: 'fine', wakeAtMs: excusedUntilMs }
  const lookDueMs = askedMs === null ? nowMs : askedMs + lookEveryMs
  const look: PulseVerdict = { kind: 'look', wakeAtMs: nowMs + lookEveryMs }
  const wait: PulseVerdict = nowMs >= lookDueMs ? look : { kind: 'fine', wakeAtMs: lookDueMs }
  if (silentMs < hungMs || firstLook === null || lastLook === null || lastLook.atMs < lastMs + hungMs) return wait
  const silence = `no pulse for ${seconds(silentMs)} s`
  if (lastLook.state === 'T')
    return { kind: 'hung', why: 'stopped', evidence: [silence, 'the process is stopped (state T)'] }
  const burntMs = lastLook.cpuMs - firstLook.cpuMs
  if (lastLook.state === 'R' && lastLook.children === 0 && burntMs >= spinningCpuMs) {
    const evidence = [
      silence,
      `the process is running and used ${burntMs} ms of CPU in the last ${lastLook.atMs - firstLook.atMs} ms`,
    ]
    return { kind: 'hung', why: 'spinning', evidence }
  }
  if (lastLook.state === 'R' || lastLook.state === 'gone' || lastLook.state === 'Z') return wait
  const blockedUntilMs = lastMs + undeclaredMs + lagMs
  if (nowMs < blockedUntilMs)
    return wait.kind === 'look' ? wait : { kind: 'fine', wakeAtMs: Math.min(wait.wakeAtMs, blockedUntilMs) }
  const doing =
    lastLook.children > 0 ? `waiting for ${lastLook.children} child process(es)` : `asleep (state ${lastLook.state})`
  return { kind: 'hung', why: 'blocked', evidence: [silence, `the main thread is ${doing} beyond the step deadline`] }
}

/** Whether the replica may be given work: a suspect gets none. */
export function isSilent(row: ReplicaRow, pulse: PulseSpec, nowMs: number, lagMs: number): boolean {
  return nowMs - row.pulse.lastMs >= pulse.suspectMs + lagMs
}

/** The end of the longest wait that was declared as blocking the main thread. */
function declaredBlockUntilMs(attempts: readonly AttemptRow[]): number {
  let untilMs = Number.NEGATIVE_INFINITY
  for (const attempt of attempts) {
    for (const call of attempt.calls) if (call.blocking) untilMs = Math.max(untilMs, call.deadlineMs)
  }
  return untilMs
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1)
}
