/**
 * A run as the detectors of agent faults see it: tool calls, model calls and
 * messages of people, in order. Text is compared by hash, so that no detector
 * keeps what an agent reads or writes; only `argsText` (at most
 * `limits.noteLength`) is there for the eyes of a person.
 */
export type RunFact = ToolFact | ModelFact | UserFact

/** One tool call that has ended. */
export interface ToolFact {
  readonly kind: 'tool'
  readonly name: string
  readonly argsHash: string
  /** Characters. */
  readonly argsLength: number
  readonly argsText: string | null
  readonly resultHash: string
  /** The result with every number folded: two that are equal here differ in digits only. */
  readonly resultNhash: string
  /** Characters. */
  readonly resultLength: number
  readonly isError: boolean
  /** The error without what changes from call to call, where the reporter knows it; else `resultNhash` stands for it. */
  readonly errorHash?: string | null
  /** The tool is declared as polling: asking again is what it is for. */
  readonly poll: boolean
}

/** One answer of a model. */
export interface ModelFact {
  readonly kind: 'model'
  readonly promptTokens: number | null
  readonly completionTokens: number | null
  /** Null when the answer holds no text. */
  readonly textHash: string | null
  /** Characters. */
  readonly textLength: number
  /** Null when the reporter does not know: such an answer is never held against the agent. */
  readonly toolCalls: number | null
  /** The model's context window, tokens. */
  readonly window: number | null
}

/** A message to the agent. `auto`: written by the harness, not by a person, so that it forgives nothing. */
export interface UserFact {
  readonly kind: 'user'
  readonly auto: boolean
}
