/** What the detectors of agent faults may say; each is a fault's kind. */
export type DetectedFault = 'tool_loop' | 'context_overflow' | 'budget_exceeded' | 'leaking' | 'fd_leak'

/** `note`: recorded only. `nudge`: the agent is told. `act`: the ladder's first rung for this fault. */
export type VerdictLevel = 'note' | 'nudge' | 'act'

export interface Verdict {
  readonly fault: DetectedFault
  readonly level: VerdictLevel
  /** What was seen, in words a person can check. Never empty. */
  readonly evidence: readonly string[]
}

/** The forms of a stuck agent. */
export type LoopForm =
  | 'same_call'
  | 'same_failure'
  | 'cycle'
  | 'same_error'
  | 'growing_arguments'
  | 'same_answer'
  | 'digits_only'
  | 'same_request'
  | 'request_cycle'
  | 'talk'
  | 'monologue'
  | 'stagnation'

export interface LoopVerdict extends Verdict {
  readonly fault: 'tool_loop'
  readonly form: LoopForm
  /** Fact of the run (from 0) at which the loop began. */
  readonly firstAt: number
}

/** Counts at which a detector speaks; each at least the one before. */
export interface Levels {
  readonly note: number
  readonly nudge: number
  readonly act: number
}

export type LoopThresholds = Readonly<Record<LoopForm, Levels>>

export interface ToolLoopSpec {
  readonly enabled: boolean
  readonly thresholds: LoopThresholds
  /** What is different for single tools, by their name. */
  readonly tools: Readonly<Record<string, ToolRule>>
}

export interface ToolRule {
  /** Asking again is what this tool is for: its calls never count. Declared, never guessed from a name. */
  readonly polling: boolean
  /** Instead of the pool's. `talk` and `monologue` belong to no tool. */
  readonly thresholds: Partial<LoopThresholds>
}

/**
 * Measured on 3,842 recorded runs (docs/detectors.md). A nudge costs one message,
 * so it comes at the second or third sign; acting costs the agent its context.
 */
export const defaultLoopThresholds: LoopThresholds = {
  /** Calls, of the last `limits.loopDensity`, with arguments and result unchanged. Agents that finish do look again, up to five times. */
  same_call: { note: 2, nudge: 3, act: 6 },
  /** As `same_call`, but it failed: a failure that repeats to the letter does not mend itself. Three retries on a 503 pass. */
  same_failure: { note: 2, nudge: 3, act: 5 },
  /** Rounds of a cycle of 2 to 8 calls, results included. Two rounds are a second look, the third brings nothing. */
  cycle: { note: 2, nudge: 2, act: 3 },
  /** Failures of one tool in a row, with one error under whatever arguments, or of one call with whatever error. */
  same_error: { note: 2, nudge: 3, act: 5 },
  /** Calls in a row whose arguments grow, by less than `limits.growthFactor` each, while the result stays. */
  growing_arguments: { note: 3, nudge: 4, act: 5 },
  /** Calls in a row with new arguments and one answer to the letter. High: a batch (`ok`, `ok`, `ok`) looks the same. */
  same_answer: { note: 6, nudge: 10, act: 20 },
  /** Calls in a row with results that differ in digits only. High: an undeclared poll of a progress bar looks the same. */
  digits_only: { note: 4, nudge: 6, act: 12 },
  /** Times in a row of one call whatever it returns; half where both the result and the agent's words are new. */
  same_request: { note: 4, nudge: 6, act: 10 },
  /** Rounds of a cycle of calls whatever they return; half where both the result and the agent's words are new. */
  request_cycle: { note: 3, nudge: 4, act: 6 },
  /** Answers in a row with text and without a call. Agents that finish give up to four in a row (a summary, a farewell). */
  talk: { note: 2, nudge: 3, act: 5 },
  /** Identical answers in a row without a call. */
  monologue: { note: 2, nudge: 2, act: 4 },
  /** Stall points since the last new result: see `policy/detect/stagnation`. The longest clean stall but one had 9. */
  stagnation: { note: 4, nudge: 6, act: 12 },
}

export const defaultToolLoop: ToolLoopSpec = { enabled: true, thresholds: defaultLoopThresholds, tools: {} }
