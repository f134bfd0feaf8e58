import { PrunellaError } from '../model/errors.ts'
import { isValidName } from '../model/ids.ts'
import type { ModelFailure } from '../model/observation.ts'
import type { Allowance } from '../model/spent.ts'
import type { PreviousAttempt, RepeatWord } from '../model/task.ts'

/** One unit of work, as the agent gets it. */
export interface Task<Input = unknown> {
  readonly id: string
  /** 1 for the first attempt. */
  readonly attempt: number
  readonly input: Input
  /** The same in every attempt: for a sink that deduplicates by task. */
  readonly idempotencyKey: string
  /** When the submitter wants it done, wall clock ms, or null. */
  readonly deadlineMs: number | null
}

/** Who this process is. */
export interface ReplicaIdentity {
  /** E.g. `support/3`. */
  readonly name: string
  readonly pool: string
  /** Grows with each new process in this place. */
  readonly incarnation: number
}

/** Lines in the replica's log. Above 1,000 a second the rest is counted and left out. */
export interface AgentLog {
  debug(message: string): void
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

/** What `setup` and `reset` get. */
export interface ReplicaContext {
  readonly replica: ReplicaIdentity
  readonly log: AgentLog
}

/** What the function of a step or tool gets. */
export interface Call {
  /** Aborted when the attempt is over. Pass it on to `fetch` and the like. */
  readonly signal: AbortSignal
  /** The same in every attempt: give it to a sink that deduplicates. */
  readonly idempotencyKey: string
}

export interface CallOptions<Result> {
  /** Part of the identity in the journal. Default for a step: how many of this name came before, plus 1. */
  readonly key?: string
  /** What may be done when it started and its result is unknown. Default `safe_to_retry`. */
  readonly repeat?: RepeatWord
  /** For `check_first`: looks whether it already happened. Its result counts, unless it is `undefined`. */
  readonly check?: (idempotencyKey: string) => Result | undefined | Promise<Result | undefined>
  /** Which configured dependency this call uses: its failure then counts against the dependency, not the agent. */
  readonly dependency?: string
  /** Deadline, ms; beyond it the attempt counts as stalled, is aborted and tried again. Default: the pool's. */
  readonly timeout?: number
}

export interface ToolOptions<Result> extends CallOptions<Result> {
  /** It asks again and again until something has changed: repeating it is no loop. */
  readonly poll?: boolean
}

export interface WaitOptions extends Pick<CallOptions<unknown>, 'dependency'> {
  /** The main thread itself is blocked on purpose. */
  readonly blocking?: boolean
}

/** What `ctx.model` is told of one model call; whatever is not known is left out. */
export interface ModelCall {
  readonly provider?: string | undefined
  readonly model?: string | undefined
  readonly promptTokens?: number | undefined
  readonly completionTokens?: number | undefined
  /** What it cost. */
  readonly usd?: number | undefined
  /** How much the model can hold. */
  readonly windowTokens?: number | undefined
  /** What it answered: only a hash of it leaves this process. */
  readonly text?: string | undefined
  /** How many tool calls the answer asks for. */
  readonly toolCalls?: number | undefined
  /** Why it failed; left out when it succeeded. */
  readonly failure?: ModelFailure | undefined
}

/** A declared wait. It ends with `end()`, with its `using` block, or with the next thing the attempt says. */
export interface Waiting extends Disposable {
  end(): void
}

/**
 * An attempt's link to Prunella. When the attempt is over (taken back, out of
 * lease, finished) open calls reject at once and every later one throws.
 */
export interface Context extends ReplicaContext {
  /** Aborted when the attempt is over; its reason says why. */
  readonly signal: AbortSignal
  /**
   * Runs `fn` once for this task, whatever happens to attempts: resolves when the
   * result is durable, and in a later attempt from the journal. What comes back is
   * the result as JSON keeps it (`undefined` becomes null).
   *
   * @throws PrunellaError PRUNELLA_INVALID, PRUNELLA_TOO_LARGE (result above 512 KiB), PRUNELLA_STALE_FENCE,
   *   PRUNELLA_ABORTED, PRUNELLA_LEASE_EXPIRED.
   */
  step<Result>(
    name: string,
    fn: (call: Call) => Result | Promise<Result>,
    options?: CallOptions<Result>,
  ): Promise<Result>
  /**
   * Runs a tool call where Prunella can see it. Journaled like a step only with a
   * `key`, or with `repeat` (then the key is a hash of `args`); else its result is passed through.
   */
  tool<Result>(
    name: string,
    args: unknown,
    fn: (call: Call) => Result | Promise<Result>,
    options?: ToolOptions<Result>,
  ): Promise<Result>
  /** Says that the attempt is getting somewhere, in words for people (500 characters). */
  progress(note: string): void
  /**
   * Declares that nothing will happen for up to `forMs`, outside of steps and tools.
   * `blocking`: the main thread itself is blocked on purpose, e.g. by `execSync`.
   */
  waiting(what: string, forMs: number, options?: WaitOptions): Waiting
  /**
   * Says that a model call has ended, for agents that do not call the model through Prunella.
   *
   * @throws BudgetExceededError when the budget was used up before this call; so do `step`, `tool` and `waiting` from then on.
   */
  model(call: ModelCall): void
  /** What the task may still spend, to be looked at before a call. What has no limit is left out; 0 or below: nothing. */
  budget(): Allowance
  /** Says that a real person spoke inside a long conversation: what was repeated before counts for no loop any more. */
  heard(): void
  /** Why the last attempt ended, or null. */
  readonly previous: PreviousAttempt | null
  /** Hints from the supervisor since the last call, oldest first; of more than 20 the newest. */
  nudges(): readonly string[]
  readonly idempotencyKey: string
  /** Grows with every lease of the task: a sink that keeps the highest it saw can refuse a zombie. */
  readonly fence: number
}

export interface AgentDefinition<Input = unknown, Output = unknown> {
  /** Once per process, before the first task. It may take minutes: the startup probe waits. */
  setup?(ctx: ReplicaContext): void | Promise<void>
  /** One attempt of one task. What it resolves to is the task's output, as JSON. */
  run(task: Task<Input>, ctx: Context): Output | Promise<Output>
  /** Soft restart: forget what that task left in memory. Everything it opened has settled. */
  reset?(ctx: ReplicaContext, task: Task<Input>): void | Promise<void>
  /**
   * Makes the context of a running task smaller; `ctx` is the one that its `run` has, and `run` goes on meanwhile.
   * What it returns is the new size in tokens, if known. Never twice at once for one attempt.
   */
  compact?(ctx: Context, task: Task<Input>): number | undefined | Promise<number | undefined>
  /** Readiness checks of the agent's own. One that throws or gives `false` has failed. */
  readonly checks?: Readonly<Record<string, (call: { readonly signal: AbortSignal }) => unknown>>
}

/** Not `instanceof`: an agent may have found another copy of this package than its host. */
const brand = Symbol.for('prunella.agent')
/** A frame that names more is refused. */
const checksMax = 100
const methods = ['setup', 'run', 'reset', 'compact'] as const
const known: readonly string[] = [...methods, 'checks']

/**
 * Says what an agent does. Its module exports the result as default.
 *
 * @throws PrunellaError PRUNELLA_INVALID naming what is missing, unknown or of the wrong type.
 */
export function defineAgent<Input = unknown, Output = unknown>(
  definition: AgentDefinition<Input, Output>,
): AgentDefinition<Input, Output> {
  const unknown = Object.keys(definition).find((key) => !known.includes(key))
  if (unknown !== undefined) throw refusal(`has no place for "${unknown}"; it knows ${known.join(', ')}`)
  for (const method of methods) {
    const value: unknown = definition[method]
    if (value === undefined && method !== 'run') continue
    if (typeof value !== 'function') throw refusal(`needs a function "${method}", got ${typeof value}`)
  }
  const checks = Object.entries(definition.checks ?? {})
  if (checks.length > checksMax) throw refusal(`has ${checks.length} checks; at most ${checksMax} are asked for`)
  for (const [name, check] of checks) {
    if (!isValidName(name)) throw refusal(`cannot have a check named ${JSON.stringify(name)}; use A-Z a-z 0-9 . _ -`)
    if (typeof check !== 'function') throw refusal(`needs a function for check "${name}", got ${typeof check}`)
  }
  return Object.create(definition, { [brand]: { value: true } })
}

export function isAgent(value: unknown): value is AgentDefinition {
  return typeof value === 'object' && value !== null && brand in value
}

function refusal(text: string): PrunellaError {
  return new PrunellaError('PRUNELLA_INVALID', `defineAgent ${text}.`)
}
