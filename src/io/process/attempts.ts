import { assertNever } from '../../model/assert.ts'
import type { Allowance } from '../../model/spent.ts'
import type { RunningAttempt } from '../../port/model-door.ts'
import type { AgentFrame } from '../../protocol/frames.ts'

type AttemptFrame = Extract<AgentFrame, { readonly fence: number }>

interface Credit {
  readonly attempt: RunningAttempt
  /** Dispatched, and neither done nor failed nor let go. */
  open: boolean
  started: boolean
  expired: boolean
  /** Resets asked for and not answered. */
  resets: number
  /** A compaction was asked for and is not answered. */
  compacting: boolean
  calls: Set<number>
}

/** Calls one attempt may have open at once; beyond it the agent is broken, or wants to fill our memory. */
const openCallsMax = 10_000

/**
 * What this process was given, and so what it may answer:
 *
 * I1. A frame counts only for an attempt that was dispatched to this very process.
 * I2. `started`, `done` or `failed`, and `lease_expired` count once an attempt;
 *     `reset_ok` and `reset_failed` once a reset, `compacted` and `compact_failed` once a
 *     compaction, while the attempt is open; `call_ended` once a started call.
 * I3. So what an agent can make the supervisor commit is bounded by what it was given.
 */
export class Attempts {
  readonly #credits = new Map<string, Credit>()

  dispatched(taskId: string, fence: number, left: Allowance | null = null): void {
    this.#credits.set(keyOf(taskId, fence), newCredit({ taskId, fence, left }, true))
  }

  /** Dispatched, not ended, and not asked to let go. */
  running(): readonly RunningAttempt[] {
    return [...this.#credits.values()].flatMap(({ open, resets, attempt }) => (open && resets === 0 ? [attempt] : []))
  }

  resetAsked(taskId: string, fence: number): void {
    const key = keyOf(taskId, fence)
    const credit = this.#credits.get(key) ?? newCredit({ taskId, fence, left: null }, false)
    credit.resets += 1
    this.#credits.set(key, credit)
  }

  /** One at a time: asking again before the answer earns no second one. */
  compactAsked(taskId: string, fence: number): void {
    const credit = this.#credits.get(keyOf(taskId, fence))
    if (credit !== undefined) credit.compacting = true
  }

  /** Whether `frame` was to be expected; takes its credit. */
  accept(frame: AttemptFrame): 'expected' | 'stray' | 'too_many_calls' {
    const key = keyOf(frame.task, frame.fence)
    const credit = this.#credits.get(key)
    if (credit === undefined) return 'stray'
    const expected = take(credit, frame)
    if (!credit.open && credit.resets === 0) this.#credits.delete(key)
    return expected
  }

  get size(): number {
    return this.#credits.size
  }
}

function newCredit(attempt: RunningAttempt, open: boolean): Credit {
  return { attempt, open, started: false, expired: false, resets: 0, compacting: false, calls: new Set() }
}

function take(credit: Credit, frame: AttemptFrame): 'expected' | 'stray' | 'too_many_calls' {
  switch (frame.type) {
    case 'reset_ok':
    case 'reset_failed':
      if (credit.resets === 0) return 'stray'
      credit.resets -= 1
      credit.open = false
      return 'expected'
    case 'started':
      if (!credit.open || credit.started) return 'stray'
      credit.started = true
      return 'expected'
    case 'lease_expired':
      if (!credit.open || credit.expired) return 'stray'
      credit.expired = true
      return 'expected'
    case 'call_started':
      if (!credit.open || credit.calls.has(frame.call)) return 'stray'
      credit.calls.add(frame.call)
      return credit.calls.size > openCallsMax ? 'too_many_calls' : 'expected'
    case 'call_ended':
      return credit.open && credit.calls.delete(frame.call) ? 'expected' : 'stray'
    case 'compacted':
    case 'compact_failed':
      if (!credit.open || !credit.compacting) return 'stray'
      credit.compacting = false
      return 'expected'
    case 'progress':
    case 'model_called':
    case 'user_turn':
      return credit.open ? 'expected' : 'stray'
    case 'done':
    case 'failed':
      if (!credit.open) return 'stray'
      credit.open = false
      return 'expected'
    default:
      return assertNever(frame)
  }
}

function keyOf(taskId: string, fence: number): string {
  return `${taskId} ${fence}`
}
