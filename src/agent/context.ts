import { PrunellaError } from '../model/errors.ts'
import { isValidName, stepIdempotencyKey } from '../model/ids.ts'
import type { Json } from '../model/json.ts'
import { limits } from '../model/limits.ts'
import type { JournalStep } from '../model/task.ts'
import type { Attempt, CallPlan } from './attempt.ts'
import type { Call, CallOptions, Context, ToolOptions } from './definition.ts'
import { fingerprint } from './payload.ts'
import { toModelCalled } from './usage.ts'

/** What this attempt knows of a step. */
type Known =
  | { readonly state: 'done'; readonly result: Json }
  /** Running in this attempt: who asks for it again gets the same promise. */
  | { readonly state: 'open'; readonly promise: Promise<unknown> }
  /** In doubt: it started in an earlier attempt, and its word allows another try. */
  | { readonly state: 'started' }
  /** In doubt: it started in this attempt and failed. */
  | { readonly state: 'failed' }

type Fn = (call: Call) => unknown

/** The agent's side of an attempt. Its functions may be taken out of it one by one. */
export function createContext(attempt: Attempt, steps: readonly JournalStep[]): Context {
  const { host, task, previous } = attempt
  const calls = new Calls(attempt, steps)
  return {
    get signal() {
      return attempt.signal
    },
    step: <Result>(name: string, fn: Fn, options?: CallOptions<Result>) =>
      rejecting(attempt, () => calls.step(name, fn, options ?? {})) as Promise<Result>,
    tool: <Result>(name: string, args: unknown, fn: Fn, options?: ToolOptions<Result>) =>
      rejecting(attempt, () => calls.tool(name, args, fn, options ?? {})) as Promise<Result>,
    progress: (note) => attempt.progress(note),
    waiting: (what, forMs, { blocking = false, dependency } = {}) => {
      const owner = `Wait "${validName(what, 'A wait')}"`
      return attempt.wait({
        name: what,
        timeoutMs: validTime(forMs, owner),
        blocking,
        ...validDependency(dependency, owner),
      })
    },
    model: (call) => attempt.say(toModelCalled(call)),
    budget: () => attempt.left,
    heard: () => attempt.say({ type: 'user_turn' }),
    previous,
    nudges: () => attempt.takeNudges(),
    idempotencyKey: task.idempotencyKey,
    fence: attempt.fence,
    replica: host.replica,
    log: host.log,
  }
}

/** A refusal of `work` as a rejection. That an agent forgets a call of an attempt that is over must not end the process. */
function rejecting(attempt: Attempt, work: () => Promise<unknown>): Promise<unknown> {
  try {
    attempt.check()
    return work()
  } catch (error) {
    const refused = Promise.reject(error)
    if (attempt.isOver) refused.catch(() => undefined)
    return refused
  }
}

/** Identity of a step is (name, key). One that is done is never run again, neither in this attempt nor in a later one. */
class Calls {
  readonly #attempt: Attempt
  readonly #known = new Map<string, Known>()
  readonly #counts = new Map<string, number>()

  constructor(attempt: Attempt, steps: readonly JournalStep[]) {
    this.#attempt = attempt
    for (const step of steps) {
      this.#known.set(identity(step.name, step.key), step.state === 'done' ? step : { state: 'started' })
    }
  }

  step(name: string, fn: Fn, options: CallOptions<unknown>): Promise<unknown> {
    const base = checked('step', name, options)
    const key = options.key ?? String(this.#count(identity(name, '')))
    return this.#journaled({ ...base, key, idempotencyKey: this.#idempotencyKey(name, key) }, fn, options)
  }

  tool(name: string, args: unknown, fn: Fn, options: ToolOptions<unknown>): Promise<unknown> {
    const seen = fingerprint(args, `The arguments of tool "${name}"`)
    const base = { ...checked('tool', name, options), args: seen, poll: options.poll ?? false }
    const key = options.key ?? (options.repeat === undefined ? null : seen.hash)
    // Without a key, the n-th call with these arguments is the same call in every attempt.
    const effectKey = key ?? `${seen.hash}-${this.#count(identity(name, seen.hash))}`
    const plan = { ...base, key, idempotencyKey: this.#idempotencyKey(name, effectKey) }
    return key === null ? this.#attempt.call(plan, fn) : this.#journaled(plan, fn, options)
  }

  #journaled(plan: CallPlan, fn: Fn, { check }: CallOptions<unknown>): Promise<unknown> {
    const id = identity(plan.name, plan.key ?? '')
    const known = this.#known.get(id)
    if (known?.state === 'done') return Promise.resolve(known.result)
    if (known?.state === 'open') return known.promise
    if (known?.state === 'failed' && plan.repeat === 'ask_human') throw needsPerson(plan)
    if (this.#known.size >= limits.stepsPerTask) throw tooManySteps(this.#attempt.task.id)
    const checkFirst = known !== undefined && plan.repeat === 'check_first' ? check : undefined
    const run = checkFirst === undefined ? fn : (call: Call) => this.#runUnlessFound(call, fn, checkFirst)
    const promise = this.#attempt.call(plan, run, {
      done: (result) => this.#known.set(id, { state: 'done', result }),
      failed: (started) => {
        if (started && plan.repeat !== 'safe_to_retry') this.#known.set(id, { state: 'failed' })
        else if (known === undefined) this.#known.delete(id)
        else this.#known.set(id, known)
      },
    })
    this.#known.set(id, { state: 'open', promise })
    return promise
  }

  async #runUnlessFound(call: Call, fn: Fn, check: NonNullable<CallOptions<unknown>['check']>): Promise<unknown> {
    const found = await check(call.idempotencyKey)
    if (found !== undefined) return found
    this.#attempt.check()
    return fn(call)
  }

  /** The number of this occurrence, from 1. */
  #count(of: string): number {
    const count = (this.#counts.get(of) ?? 0) + 1
    this.#counts.set(of, count)
    return count
  }

  #idempotencyKey(name: string, key: string): string {
    return stepIdempotencyKey(this.#attempt.task.id, name, key)
  }
}

/** Unambiguous for any name and key. */
function identity(name: string, key: string): string {
  return `${name.length}:${name}${key}`
}

/** @throws PrunellaError PRUNELLA_INVALID naming the call and what is wrong with it. */
function checked(
  kind: 'step' | 'tool',
  name: string,
  { key, repeat = 'safe_to_retry', check, dependency, timeout }: CallOptions<unknown>,
) {
  validName(name, `A ${kind}`)
  const owner = `${kind === 'step' ? 'Step' : 'Tool'} "${name}"`
  if (key !== undefined) validName(key, `The key of ${owner}`)
  if (!['safe_to_retry', 'check_first', 'ask_human'].includes(repeat)) {
    throw invalid(`${owner} has repeat "${repeat}"; it must be safe_to_retry, check_first or ask_human.`)
  }
  if (repeat === 'check_first' && typeof check !== 'function') {
    throw invalid(`${owner} says check_first and has no check(idempotencyKey). Add one.`)
  }
  const timeoutMs = timeout === undefined ? null : validTime(timeout, owner)
  return { kind, name, repeat, timeoutMs, ...validDependency(dependency, owner) }
}

function validDependency(dependency: string | undefined, owner: string): { readonly dependency?: string } {
  if (dependency === undefined) return {}
  if (typeof dependency === 'string' && isValidName(dependency)) return { dependency }
  const got = JSON.stringify(dependency)?.slice(0, 80)
  throw invalid(`${owner} needs a dependency's name (A-Z a-z 0-9 . _ -), got ${got}.`)
}

function validName(name: string, owner: string): string {
  if (typeof name === 'string' && name !== '' && name.length <= limits.noteLength) return name
  const got = JSON.stringify(name)?.slice(0, 80)
  throw invalid(`${owner} needs a text of 1 to ${limits.noteLength} characters, got ${got}.`)
}

function validTime(timeMs: number, owner: string): number {
  if (Number.isFinite(timeMs) && timeMs > 0 && timeMs <= 1e12) return timeMs
  throw invalid(`${owner} needs a time in milliseconds above 0, got ${String(timeMs)}.`)
}

function needsPerson({ name }: CallPlan): PrunellaError {
  const why = `Step "${name}" failed after it had started, and says ask_human.`
  return invalid(`${why} Let run() fail: a person will say whether it happened.`)
}

function tooManySteps(taskId: string): PrunellaError {
  const why = `Task ${taskId} has journaled ${limits.stepsPerTask} steps, the limit.`
  return new PrunellaError('PRUNELLA_TOO_LARGE', `${why} Put several actions into one step.`)
}

function invalid(message: string): PrunellaError {
  return new PrunellaError('PRUNELLA_INVALID', message)
}
