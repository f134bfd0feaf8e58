import { BudgetExceededError, PrunellaError, StaleFenceError } from '../model/errors.ts'
import type { Json } from '../model/json.ts'
import { limits } from '../model/limits.ts'
import type { AgentCallKind, ResultPrint } from '../model/observation.ts'
import { type Allowance, costOf, isUsedUp, lessBy } from '../model/spent.ts'
import type { RepeatWord } from '../model/task.ts'
import type { AgentFrame, SupervisorFrame } from '../protocol/frames.ts'
import { blame } from './blame.ts'
import type { Channel } from './channel.ts'
import type { Misbehaviour } from './chaos.ts'
import type { Call, ReplicaContext, Task, Waiting } from './definition.ts'
import { toErrorInfo, toPayload, toPrint } from './payload.ts'

/** What an attempt needs of the process it runs in. */
export interface AttemptHost extends ReplicaContext {
  readonly channel: Pick<Channel, 'send' | 'sendProgress' | 'flush' | 'isFull' | 'drained'>
  /** False once the supervisor has been silent for longer than the lease. */
  readonly isLeased: boolean
  readonly chaos: Misbehaviour | null
}

/** What a step or tool says about itself. */
export interface CallPlan {
  readonly kind: AgentCallKind
  readonly name: string
  /** Journaled under (name, key) when not null. */
  readonly key: string | null
  readonly repeat: RepeatWord
  readonly timeoutMs: number | null
  readonly idempotencyKey: string
  readonly args?: { readonly hash: string; readonly length: number; readonly text: string }
  readonly poll?: boolean
  readonly dependency?: string
}

export interface WaitPlan {
  readonly name: string
  readonly timeoutMs: number
  readonly blocking: boolean
  readonly dependency?: string
}

/** What an attempt says besides its calls. */
type Said = Spoken<Extract<AgentFrame, { readonly type: 'model_called' | 'user_turn' }>>
type Spoken<Frame> = Frame extends unknown ? Omit<Frame, 'task' | 'fence'> : never

/** Told when a call has ended, before its caller is. */
export interface CallListener {
  done(result: Json): void
  /** @param started  Whether its function may have run. */
  failed(started: boolean): void
}

/** A step or tool that has not ended. It waits for at most one thing at a time. */
interface OpenCall {
  /** Rejects what it waits for. */
  cut: (error: Error) => void
  acknowledged: (() => void) | null
  promise: Promise<unknown> | null
}

type Answer = Spoken<Extract<AgentFrame, { readonly type: 'compacted' | 'compact_failed' }>>
type TaskFrame = Extract<SupervisorFrame, { readonly type: 'task' }>

/**
 * One lease of one task in this process.
 *
 * I1. Once it is over, nothing of it is sent any more, open calls reject at
 *     once, and no function of the agent is started for it.
 * I2. `settled` resolves when `run` and every function it opened have returned.
 * I3. A journaled call resolves only after its end is durable; one that is not
 *     safe to repeat begins only after its start is.
 * I4. Once the budget is used up, nothing of it begins any more. The supervisor counts too, and does not rely on it.
 */
export class Attempt {
  readonly task: Task
  readonly fence: number
  readonly previous: TaskFrame['previous']
  readonly host: AttemptHost
  #over: { readonly why: PrunellaError; readonly later: PrunellaError } | null = null
  #controller: AbortController | null = null
  #lastCall = 0
  readonly #open = new Map<number, OpenCall>()
  /** Calls the supervisor watches: at most `limits.openCalls`. */
  #announced = 0
  readonly #waitForPlace: (() => void)[] = []
  #wait: number | null = null
  #nudges: string[] = []
  /** The agent's `compact` for this attempt, or null when it has none. */
  compactor: (() => unknown) | null = null
  #isCompacting = false
  #left: Allowance
  /** `run` and functions of calls that have not returned. */
  #busy = 1
  #onSettled: (() => void)[] = []

  constructor(frame: TaskFrame, host: AttemptHost) {
    const { task: id, fence, attempt, input, deadlineMs, previous } = frame
    this.task = { id, attempt, input, idempotencyKey: id, deadlineMs }
    this.fence = fence
    this.previous = previous === null ? null : { ...previous, doNot: previous.doNot ?? [] } // Kept by an older version.
    this.host = host
    this.#left = frame.left ?? {}
  }

  get isOver(): boolean {
    return this.#over !== null
  }

  /** Made when first read: most tasks never look. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#over !== null) this.#controller.abort(this.#over.why)
    return this.#controller.signal
  }

  /** @param later  What every later call throws. */
  end(why: PrunellaError, later: PrunellaError = why): void {
    if (this.#over !== null) return
    this.#over = { why, later }
    for (const open of this.#open.values()) {
      open.promise?.catch(ignore) // The agent may have dropped this promise; that must not end the process.
      open.cut(why)
    }
    this.#controller?.abort(why)
  }

  finish(): void {
    this.end(new StaleFenceError({ taskId: this.task.id, fence: this.fence }))
    this.#returned()
  }

  /** Calls `listener` when `run` and everything it opened have returned, at once if so already. */
  settled(listener: () => void): void {
    if (this.#busy === 0) listener()
    else this.#onSettled.push(listener)
  }

  /** @throws PrunellaError when the attempt is over. */
  check(): void {
    if (this.#over !== null) throw this.#over.later
  }

  /** What was announced of this call is durable. */
  acknowledge(call: number): void {
    this.#open.get(call)?.acknowledged?.()
  }

  progress(note: string): void {
    this.check()
    this.#endWait()
    this.host.channel.sendProgress({
      type: 'progress',
      ...this.#name(),
      note: String(note).slice(0, limits.noteLength),
    })
  }

  say(said: Said): void {
    this.check()
    this.#endWait()
    this.host.channel.send({ ...said, ...this.#name() })
    if (said.type !== 'model_called') return
    const wasUsedUp = isUsedUp(this.#left)
    this.#left = lessBy(this.#left, costOf(said))
    if (wasUsedUp) throw new BudgetExceededError(this.task.id)
  }

  /** What is left of the budget. */
  get left(): Allowance {
    return this.#left
  }

  nudge(text: string): void {
    this.#nudges.push(text)
    if (this.#nudges.length > limits.nudgesKept) this.#nudges.shift()
  }

  takeNudges(): readonly string[] {
    const nudges = this.#nudges
    this.#nudges = []
    return nudges
  }

  /** Lets the agent make its context smaller, and says how that ended, unless the attempt is over by then. */
  async compact(): Promise<void> {
    if (this.isOver || this.#isCompacting) return // Its answer is on the way.
    this.#isCompacting = true
    this.#busy += 1
    let answer: Answer
    try {
      if (this.compactor === null) throw notSupported()
      const tokens = await this.compactor()
      const isSize = typeof tokens === 'number' && tokens >= 0 && tokens <= Number.MAX_SAFE_INTEGER
      answer = { type: 'compacted', ...(isSize ? { tokens: Math.round(tokens) } : {}) }
    } catch (error) {
      answer = { type: 'compact_failed', error: toErrorInfo(error) }
    }
    this.#isCompacting = false
    if (!this.isOver) this.host.channel.send({ ...answer, ...this.#name() })
    this.#returned()
  }

  wait(plan: WaitPlan): Waiting {
    this.check()
    this.#checkBudget()
    this.#endWait()
    const call = this.#nextCall()
    this.#wait = call
    this.host.channel.send({ type: 'call_started', ...this.#name(), call, kind: 'wait', ...plan })
    this.host.channel.flush() // The thread may be blocked from here on.
    const end = (): void => {
      if (this.#wait === call && this.#over === null) this.#endWait()
    }
    return { end, [Symbol.dispose]: end }
  }

  /** Announces a call, runs `fn` and, when journaled, waits until the result is durable. */
  call(plan: CallPlan, fn: (call: Call) => unknown, listener?: CallListener): Promise<unknown> {
    const call = this.#nextCall()
    const open: OpenCall = { cut: ignore, acknowledged: null, promise: null }
    this.#open.set(call, open)
    open.promise = this.#perform(call, open, plan, fn, listener).finally(() => this.#open.delete(call))
    return open.promise
  }

  async #perform(
    call: number,
    open: OpenCall,
    plan: CallPlan,
    fn: (call: Call) => unknown,
    listener?: CallListener,
  ): Promise<unknown> {
    let isAnnounced = false
    try {
      this.#checkBudget()
      await this.#admit(open)
      isAnnounced = true
      this.#announce(call, plan)
      if (plan.key !== null && plan.repeat !== 'safe_to_retry') await this.#acknowledgement(open)
      const value = await this.#run(open, plan, fn)
      const result = await this.#end(call, open, plan, value)
      listener?.done(result as Json)
      return result
    } catch (error) {
      if (this.#over === null && isAnnounced) {
        const info = toErrorInfo(error)
        const print = printFor(plan, { name: info.name, message: info.message })
        this.host.channel.send({ type: 'call_ended', ...this.#name(), call, ok: false, error: info, ...print })
      }
      listener?.failed(isAnnounced)
      throw error
    } finally {
      if (isAnnounced) this.#announced -= 1
      this.#waitForPlace.shift()?.()
    }
  }

  /** The result as the caller gets it: durable, if the call is journaled. */
  async #end(call: number, open: OpenCall, plan: CallPlan, value: unknown): Promise<unknown> {
    const { channel } = this.host
    if (plan.key === null) {
      channel.send({ type: 'call_ended', ...this.#name(), call, ok: true, ...printFor(plan, value) })
      return value
    }
    const result = toPayload(value, `The result of ${plan.kind} "${plan.name}"`)
    while (channel.isFull) await this.#until(open, (resolve) => channel.drained(() => resolve(undefined)))
    channel.send({ type: 'call_ended', ...this.#name(), call, ok: true, result, ...printFor(plan, result) })
    await this.#acknowledgement(open)
    return result
  }

  /** Waits until a call may begin: leased, watched, and not beyond what the supervisor reads. */
  async #admit(open: OpenCall): Promise<void> {
    for (;;) {
      this.check()
      if (!this.host.isLeased) {
        // A blocked thread may not have read the frame that prolonged it.
        await this.#until(open, (resolve) => setImmediate(() => setImmediate(resolve)))
        if (!this.host.isLeased) throw leaseExpired(this.task.id)
      } else if (this.#announced >= limits.openCalls) {
        await this.#until(open, (resolve) => this.#waitForPlace.push(() => resolve(undefined)))
      } else if (this.host.channel.isFull) {
        await this.#until(open, (resolve) => this.host.channel.drained(() => resolve(undefined)))
      } else {
        this.#announced += 1 // Here, not after the `await` of the caller: others are admitted in between.
        return
      }
    }
  }

  #announce(call: number, plan: CallPlan): void {
    this.#endWait()
    const { kind, name, key, repeat, timeoutMs, args, poll, dependency } = plan
    this.host.channel.send({
      type: 'call_started',
      ...this.#name(),
      call,
      kind,
      name,
      ...(key === null ? {} : { key, repeat }),
      ...(timeoutMs === null ? {} : { timeoutMs }),
      ...(args === undefined ? {} : { args }),
      ...(poll === true ? { poll } : {}),
      ...(dependency === undefined ? {} : { dependency }),
    })
    this.host.channel.flush() // The function may block the thread; then this is how the supervisor knows why.
  }

  #checkBudget(): void {
    if (isUsedUp(this.#left)) throw new BudgetExceededError(this.task.id)
  }

  #acknowledgement(open: OpenCall): Promise<unknown> {
    return this.#until(open, (resolve) => {
      open.acknowledged = () => resolve(undefined)
    })
  }

  #run(open: OpenCall, { idempotencyKey, dependency }: CallPlan, fn: (call: Call) => unknown): Promise<unknown> {
    const signal = (): AbortSignal => this.signal
    const call: Call = {
      get signal() {
        return signal()
      },
      idempotencyKey,
    }
    this.#busy += 1
    return this.#until(open, (resolve, reject) => {
      const returned = (): void => this.#returned()
      const outcome = (async () => {
        this.host.chaos?.refuse(dependency)
        return fn(call)
      })()
      const failed = (error: Error): void => {
        blame(error, dependency)
        reject(error)
      }
      outcome.then(resolve, failed).then(returned, returned)
    })
  }

  /** One thing a call waits for; rejects when the attempt ends first. */
  async #until(
    open: OpenCall,
    start: (resolve: (value: unknown) => void, reject: (error: Error) => void) => void,
  ): Promise<unknown> {
    const value = await new Promise((resolve, reject) => {
      open.cut = reject
      start(resolve, reject)
    })
    if (this.#over !== null) throw this.#over.why
    return value
  }

  #returned(): void {
    this.#busy -= 1
    if (this.#busy > 0) return
    for (const listener of this.#onSettled) listener()
    this.#onSettled = []
  }

  #endWait(): void {
    if (this.#wait === null) return
    this.host.channel.send({ type: 'call_ended', ...this.#name(), call: this.#wait, ok: true })
    this.#wait = null
  }

  #nextCall(): number {
    this.#lastCall += 1
    return this.#lastCall
  }

  #name(): { readonly task: string; readonly fence: number } {
    return { task: this.task.id, fence: this.fence }
  }
}

/** Steps need none: they are not repeated. */
function printFor({ kind }: CallPlan, value: unknown): { readonly print?: ResultPrint } {
  const print = kind === 'tool' ? toPrint(value) : null
  return print === null ? {} : { print }
}

function notSupported(): Error {
  const error = new Error('This agent cannot compact its context: defineAgent has no compact.')
  error.name = 'NotSupported'
  return error
}

export function leaseExpired(taskId: string): PrunellaError {
  return new PrunellaError(
    'PRUNELLA_LEASE_EXPIRED',
    `Task ${taskId}: the supervisor has been silent for longer than the lease. Stop; the task will be given out again.`,
  )
}

function ignore(): void {}
