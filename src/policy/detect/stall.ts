import type { DeadlinesSpec } from '../../model/pool.ts'
import type { AttemptRow, OpenCall } from '../../model/rows.ts'

export type StallVerdict =
  | { readonly kind: 'fine'; readonly wakeAtMs: number }
  | { readonly kind: 'stalled'; readonly sinceMs: number; readonly evidence: readonly string[] }

/**
 * No progress past the deadline of what the attempt declared it is doing.
 * Progress moves every deadline (R7); an open declared wait excuses everything
 * around it until its own end; with nothing declared the idle deadline counts.
 */
export function judgeProgress(
  attempt: AttemptRow,
  deadlines: DeadlinesSpec,
  nowMs: number,
  lagMs: number,
): StallVerdict {
  if (attempt.phase.kind !== 'running') return { kind: 'fine', wakeAtMs: Number.POSITIVE_INFINITY }
  const limit =
    deadlines.taskMs === null
      ? null
      : { atMs: attempt.phase.sinceMs + deadlines.taskMs + lagMs, text: 'the attempt ran past deadlines.task' }
  const stall = limit !== null && nowMs >= limit.atMs ? limit : nextStall(attempt, deadlines, lagMs)
  if (nowMs < stall.atMs)
    return { kind: 'fine', wakeAtMs: limit === null ? stall.atMs : Math.min(stall.atMs, limit.atMs) }
  const idleMs = nowMs - attempt.progressMs
  return {
    kind: 'stalled',
    sinceMs: attempt.progressMs,
    evidence: [stall.text, `no progress for ${(idleMs / 1000).toFixed(1)} s`],
  }
}

function nextStall(
  attempt: AttemptRow,
  deadlines: DeadlinesSpec,
  lagMs: number,
): { readonly atMs: number; readonly text: string } {
  // The gateway keeps the deadlines of model calls: what is around one waits for it.
  const waits = attempt.calls.filter(({ kind }) => kind === 'wait' || kind === 'model')
  const due = waits.length > 0 ? last(waits, attempt) : first(attempt.calls, attempt)
  if (due === null)
    return { atMs: attempt.progressMs + deadlines.idleMs + lagMs, text: 'nothing was declared and nothing happened' }
  const { call, atMs } = due
  const verb = { step: 'step', tool: 'tool', wait: 'the declared wait', model: 'the model call' }[call.kind]
  return {
    atMs: atMs + lagMs,
    text: `${verb} "${call.name}" did not end within ${((call.deadlineMs - call.sinceMs) / 1000).toFixed(1)} s`,
  }
}

interface Due {
  readonly call: OpenCall
  readonly atMs: number
}

function dueOf(call: OpenCall, attempt: AttemptRow): Due {
  return { call, atMs: Math.max(call.sinceMs, attempt.progressMs) + (call.deadlineMs - call.sinceMs) }
}

function first(calls: readonly OpenCall[], attempt: AttemptRow): Due | null {
  return calls
    .map((call) => dueOf(call, attempt))
    .reduce<Due | null>((a, b) => (a === null || b.atMs < a.atMs ? b : a), null)
}

function last(calls: readonly OpenCall[], attempt: AttemptRow): Due | null {
  return calls
    .map((call) => dueOf(call, attempt))
    .reduce<Due | null>((a, b) => (a === null || b.atMs > a.atMs ? b : a), null)
}
