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
  /**
   * Calls in a row whose arguments grow, by less than `limits.growthFactor` each, while the result stays; one more
   * where only the lengths are known. Of a batch with one acknowledgement six in a row grow by chance once in 720
   * windows, five would once in 120.
   */
  growing_arguments: { note: 3, nudge: 4, act: 5 },
  /** Calls in a row with new arguments and one answer to the letter. High: a batch (`ok`, `ok`, `ok`) looks the same. */
  same_answer: { note: 6, nudge: 10, act: 20 },
  /** Calls in a row with results that differ in digits only. High: an undeclared poll of a progress bar looks the same. */
  digits_only: { note: 4, nudge: 6, act: 12 },
  /** Times in a row of one call whatever it returns; half where both the result and the agent's words are new. */
  same_request: { note: 4, nudge: 6, act: 8 },
  /** Rounds of a cycle of calls whatever they return; half where both the result and the agent's words are new. */
  request_cycle: { note: 3, nudge: 4, act: 6 },
  /** Answers in a row with text and without a call. Agents that finish give up to four in a row (a summary, a farewell). */
  talk: { note: 2, nudge: 3, act: 5 },
  /** Identical answers in a row without a call. */
  monologue: { note: 2, nudge: 2, act: 4 },
  /** Stall points since the last new result: see `policy/detect/loop/stagnation`. The longest clean stall but one had 9. */
  stagnation: { note: 4, nudge: 6, act: 12 },
}

export const defaultToolLoop: ToolLoopSpec = { enabled: true, thresholds: defaultLoopThresholds, tools: {} }

/** What mends a context that is too full: mildest first. */
export type ContextRemedy = 'compact' | 'soft_restart' | 'dead_letter'

export interface ContextVerdict extends Verdict {
  readonly fault: 'context_overflow'
  readonly form:
    | 'near_window'
    | 'growing_towards_window'
    | 'provider_refused'
    | 'compaction_did_not_shrink'
    | 'task_too_large'
  readonly remedy: ContextRemedy
}

export interface ContextSpec {
  readonly enabled: boolean
  /** Share of the model's window that the newest prompt fills. */
  readonly share: Levels
  /** Steps ahead in which, at the present growth, the window is full: then it acts before the share does. */
  readonly stepsAhead: number
  /** A compaction must take off at least this share of the tokens. */
  readonly shrinkShare: number
}

export const defaultContext: ContextSpec = {
  enabled: true,
  /** At 90 % one long tool result overflows; models are known to get worse from about 70 % on. */
  share: { note: 0.7, nudge: 0.8, act: 0.9 },
  /** The next prompt and the one after it: a compaction is itself a model call and needs room. */
  stepsAhead: 2,
  /** Below a fifth the context is full again within a few steps (faults.md, F20). */
  shrinkShare: 0.2,
}

export type BudgetScope = 'task' | 'replica' | 'pool' | 'day'
export type BudgetUnit = 'tokens' | 'usd' | 'calls' | 'timeMs'

export interface BudgetVerdict extends Verdict {
  readonly fault: 'budget_exceeded'
  readonly form: 'spent' | 'burn_rate'
  readonly scope: BudgetScope
  readonly unit: BudgetUnit
}

/** Null: no limit. Money and tokens are the user's to limit, so every default is null. Time is a task's only: that of its attempts. */
export type BudgetLimits = Readonly<Record<BudgetUnit, number | null>>

export interface BudgetSpec {
  readonly enabled: boolean
  readonly limits: Readonly<Record<BudgetScope, BudgetLimits>>
  /** Share of a limit that is spent. */
  readonly share: Levels
  /** Tokens of one `burnPeriodMs` as a multiple of the median of those before. */
  readonly burn: Levels
  readonly burnPeriodMs: number
  /** Periods with calls that make a history; fewer say nothing. */
  readonly burnHistory: number
  /** Tokens of one period below which no multiple is worth a word. */
  readonly burnTokens: number
}

const unlimited: BudgetLimits = { tokens: null, usd: null, calls: null, timeMs: null }

export const defaultBudget: BudgetSpec = {
  enabled: true,
  limits: { task: unlimited, replica: unlimited, pool: unlimited, day: unlimited },
  /** Told at 80 and 90 % so that it can finish; stopped before the call that would start beyond the limit. */
  share: { note: 0.8, nudge: 0.9, act: 1 },
  /** Three times the usual is an alarm for people (faults.md, F21). Never a stop: a burst may be work. */
  burn: { note: 2, nudge: 3, act: Number.POSITIVE_INFINITY },
  burnPeriodMs: 60_000,
  burnHistory: 5,
  burnTokens: 1_000,
}

export interface LeakVerdict extends Verdict {
  readonly fault: 'leaking' | 'fd_leak'
  /** `filling`: growing, and the limit is near. `full`: near the limit whatever the growth. */
  readonly form: 'filling' | 'full'
}

/** How a gauge with a limit (resident memory, open files) is judged. Acting means: drain, then replace. */
export interface LeakSpec {
  readonly enabled: boolean
  /** Samples without which nothing is said about growth; at least 5. */
  readonly samples: number
  /** Share of the limit from which growth is judged. */
  readonly share: Levels
  /** Growth acts only when it reaches the limit within this time. */
  readonly horizonMs: number
  /** Share of the limit that acts without growth, in two samples running; null: never. */
  readonly fullShare: number | null
}

export const defaultMemory: LeakSpec = {
  enabled: true,
  samples: 5,
  /** Acting at 70 % leaves a leak of 20 MB/s two samples before 80 % of a limit of 512 MiB. */
  share: { note: 0.5, nudge: 0.6, act: 0.7 },
  /** A drain takes 30 s and a task may take minutes: it must be over before the kernel decides. */
  horizonMs: 600_000,
  /** A cache that fills its share and stays there is no leak. */
  fullShare: null,
}

export const defaultFiles: LeakSpec = {
  enabled: true,
  samples: 5,
  share: { note: 0.5, nudge: 0.6, act: 0.7 },
  horizonMs: 600_000,
  /** Beyond the soft limit every open fails at once, and 80 % is never a steady state of an agent (faults.md, F10). */
  fullShare: 0.8,
}

/** Every detector of agent faults of one pool. */
export interface DetectSpec {
  readonly toolLoop: ToolLoopSpec
  readonly context: ContextSpec
  readonly budget: BudgetSpec
  readonly memory: LeakSpec
  readonly files: LeakSpec
}

export const defaultDetect: DetectSpec = {
  toolLoop: defaultToolLoop,
  context: defaultContext,
  budget: defaultBudget,
  memory: defaultMemory,
  files: defaultFiles,
}
