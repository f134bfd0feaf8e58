import { type ErrorInfo, PrunellaError, StaleFenceError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { CheckResult } from '../model/probe.ts'
import type { JournalStep } from '../model/task.ts'
import { protocolVersion, type SupervisorFrame } from '../protocol/frames.ts'
import { Attempt, leaseExpired } from './attempt.ts'
import { Channel } from './channel.ts'
import type { Misbehaviour } from './chaos.ts'
import { Checks } from './checks.ts'
import { nowMs } from './clock.ts'
import { createContext } from './context.ts'
import { type AgentDefinition, isAgent, type ReplicaContext } from './definition.ts'
import { createLog } from './log.ts'
import { toErrorInfo, toPayload } from './payload.ts'

interface AgentModule {
  readonly default?: unknown
}

type Frame<Type extends SupervisorFrame['type']> = Extract<SupervisorFrame, { readonly type: Type }>

/** Tasks that end at once run one after the other without a turn of the event loop; after this long it gets one. */
const turnMs = 5
/** How long attempts may take to settle when the supervisor is gone. Effects must stop within a second. */
const closingMs = 500

/**
 * Runs one agent's tasks in this process.
 *
 * I1. Tasks run in the order received, at most `concurrency` at once; a place is
 *     free again when `run` has returned or, after a reset, when everything has settled.
 * I2. Without a lease nothing is started. Every frame of the supervisor prolongs it.
 * I3. The process lives as long as the channel. What nobody catches ends it, as in any Node process.
 */
export class Host implements ReplicaContext {
  readonly channel: Channel
  readonly log: ReplicaContext['log']
  readonly chaos: Misbehaviour | null
  replica: ReplicaContext['replica'] = { name: '', pool: '', incarnation: 0 }
  readonly #load: () => Promise<AgentDefinition>
  #agent: AgentDefinition | null = null
  #checks: Checks | null = null
  #concurrency = 1
  #leaseUntilMs = 0
  #isWatchingLease = false
  #isClosing = false
  readonly #journals = new Map<string, JournalStep[]>()
  readonly #queue: Frame<'task'>[] = []
  readonly #running = new Map<string, Attempt>()
  /** Attempts whose reset is asked for and not answered. */
  readonly #resets = new Set<string>()
  #turnSinceMs = 0
  #willStart = false

  /**
   * @param load  Runs the agent's file for the first time: called once the supervisor has adopted this process.
   * @param chaos  Null but in a process that may be made to misbehave.
   */
  constructor(agentFile: string, load: () => Promise<AgentModule>, chaos: Misbehaviour | null) {
    this.chaos = chaos
    this.#load = () => loadAgent(agentFile, load)
    this.channel = new Channel({
      frame: (frame) => this.#receive(frame),
      idle: () => this.#startNext(),
      closed: () => this.#close(),
    })
    this.log = createLog((level, message) => this.channel.send({ type: 'log', level, message }))
    this.channel.send({ type: 'hello', protocol: protocolVersion, client: `prunella-node/${process.version}` })
    this.channel.flush()
    this.channel.readWaiting()
  }

  get isLeased(): boolean {
    return !this.#isClosing && nowMs() < this.#leaseUntilMs
  }

  #receive(frame: SupervisorFrame): void {
    this.#leaseUntilMs = nowMs() + frame.leaseMs
    switch (frame.type) {
      case 'adopt':
        return this.#adopt(frame)
      case 'journal':
        return this.#collect(frame)
      case 'task':
        return this.#enqueue(frame)
      case 'ack':
        return this.#acknowledge(frame)
      case 'reset':
        return this.#reset(frame)
      case 'ping':
        return this.channel.send({ type: 'pong', ping: frame.ping })
      case 'check':
        return void this.#check(frame)
      case 'nudge':
        return this.#running.get(keyOf(frame))?.nudge(frame.text)
      case 'compact':
        return this.#compact(frame)
      case 'misbehave':
        return this.chaos?.order(frame)
      case 'outage':
        return this.chaos?.outage(frame.dependency, frame.forMs)
      case 'lease':
        return
      default:
        frame satisfies never
    }
  }

  #adopt(frame: Frame<'adopt'>): void {
    const { replica: name, pool, incarnation, pulseMs, concurrency } = frame
    this.replica = Object.freeze({ name, pool, incarnation })
    this.#concurrency = concurrency
    let beatMs = nowMs()
    setInterval(() => {
      const lagMs = Math.max(0, Math.round(nowMs() - beatMs - pulseMs))
      beatMs = nowMs()
      if (!this.channel.isFull) this.channel.send({ type: 'pulse', lagMs })
    }, pulseMs)
    void this.#setUp()
  }

  async #setUp(): Promise<void> {
    try {
      const agent = await this.#load()
      const names = Object.keys(agent.checks ?? {})
      if (agent.checks !== undefined) this.#checks = new Checks(agent.checks)
      await agent.setup?.(this.#context())
      this.#agent = agent
      this.channel.send({ type: 'ready', checks: names, resettable: true, compactable: agent.compact !== undefined })
      this.channel.flush()
      this.#startNext()
    } catch (error) {
      this.channel.send({ type: 'setup_failed', error: toErrorInfo(error) })
      this.channel.finish(() => process.exit(1))
    }
  }

  #collect({ task, fence, steps }: Frame<'journal'>): void {
    const key = keyOf({ task, fence })
    const journal = this.#journals.get(key) ?? []
    journal.push(...steps)
    if (journal.length > limits.stepsPerTask) throw tooMuch(`more than ${limits.stepsPerTask} steps of task ${task}`)
    this.#journals.set(key, journal)
  }

  #enqueue(frame: Frame<'task'>): void {
    if (this.#queue.length >= this.#concurrency + limits.prefetch) throw tooMuch(`task ${frame.task} to a full queue`)
    this.#queue.push(frame)
    this.#watchLease()
  }

  /** Begins what there is place for. */
  #startNext(): void {
    if (this.#willStart || this.#agent === null || !this.isLeased) return
    if (this.#running.size >= this.#concurrency || this.#queue.length === 0) return
    if (nowMs() - this.#turnSinceMs < turnMs && !this.channel.isFull) {
      this.#start(this.#agent, this.#queue.shift() as Frame<'task'>)
      return this.#startNext()
    }
    // Pulses, acknowledgements and resets have their turn first.
    this.#willStart = true
    this.channel.drained(() =>
      setImmediate(() => {
        this.#turnSinceMs = nowMs()
        this.#willStart = false
        this.#startNext()
      }),
    )
  }

  #start(agent: AgentDefinition, frame: Frame<'task'>): void {
    const key = keyOf(frame)
    const attempt = new Attempt(frame, this)
    this.#running.set(key, attempt)
    const context = createContext(attempt, this.#journals.get(key) ?? [])
    if (agent.compact !== undefined) attempt.compactor = () => agent.compact?.(context, attempt.task)
    this.#journals.delete(key)
    this.channel.send({ type: 'started', task: frame.task, fence: frame.fence })
    // Not left to the end of the turn (70,000 empty tasks a second instead of 35,000): should this task take the process
    // down, the one before it must be known as done, and this one as the one that was running.
    this.channel.flush()
    void this.#run(agent, attempt, context, key)
  }

  async #run(agent: AgentDefinition, attempt: Attempt, context: ReturnType<typeof createContext>, key: string) {
    const name = { task: attempt.task.id, fence: attempt.fence }
    try {
      const work = (): unknown => agent.run(attempt.task, context)
      const deed = this.chaos?.take(key)
      if (deed !== undefined) attempt.compactor = null // The agent knows nothing of this attempt.
      const output = toPayload(
        await (deed === undefined ? work() : deed(context, work)),
        `The output of task ${attempt.task.id}`,
      )
      if (!attempt.isOver) this.channel.send({ type: 'done', ...name, output })
    } catch (error) {
      if (!attempt.isOver) this.channel.send({ type: 'failed', ...name, error: toErrorInfo(error) })
    }
    const wasTaken = attempt.isOver
    attempt.finish()
    if (!wasTaken) this.#leave(key)
  }

  #leave(key: string): void {
    this.#running.delete(key)
    if (this.#isClosing && this.#running.size === 0) process.exit(0)
    this.#startNext()
  }

  /** Takes an attempt from the agent; the place stays taken until everything it opened has settled. */
  #take(key: string, attempt: Attempt, why: PrunellaError, later?: PrunellaError): void {
    if (attempt.isOver) return
    attempt.end(why, later)
    attempt.settled(() => {
      if (!this.#resets.has(key)) this.#leave(key)
    })
  }

  #reset({ task, fence, reason }: Frame<'reset'>): void {
    const name = { task, fence }
    const key = keyOf(name)
    this.#journals.delete(key)
    const attempt = this.#running.get(key)
    if (attempt === undefined) {
      const at = this.#queue.findIndex((waiting) => keyOf(waiting) === key)
      if (at !== -1) this.#queue.splice(at, 1)
      return this.channel.send({ type: 'reset_ok', ...name })
    }
    if (this.#resets.has(key)) return // Its answer is on the way.
    this.#resets.add(key)
    const text = `Task ${task} was taken back from this replica: ${reason}. Stop working on it.`
    this.#take(key, attempt, new PrunellaError('PRUNELLA_ABORTED', text), new StaleFenceError({ taskId: task, fence }))
    attempt.settled(() => void this.#forget(key, attempt))
  }

  #compact({ task, fence }: Frame<'compact'>): void {
    const attempt = this.#running.get(keyOf({ task, fence }))
    if (attempt !== undefined) return void attempt.compact()
    const error = { name: 'NotRunning', message: `Task ${task} with fence ${fence} is not running here.` }
    this.channel.send({ type: 'compact_failed', task, fence, error })
  }

  #acknowledge({ task, fence, call, accepted }: Frame<'ack'>): void {
    const key = keyOf({ task, fence })
    const attempt = this.#running.get(key)
    if (attempt === undefined) return
    if (accepted) attempt.acknowledge(call)
    else this.#take(key, attempt, new StaleFenceError({ taskId: task, fence }))
  }

  async #forget(key: string, attempt: Attempt): Promise<void> {
    const name = { task: attempt.task.id, fence: attempt.fence }
    let error: ErrorInfo | null = null
    try {
      await this.#agent?.reset?.(this.#context(), attempt.task)
    } catch (thrown) {
      error = toErrorInfo(thrown)
    }
    this.channel.send(error === null ? { type: 'reset_ok', ...name } : { type: 'reset_failed', ...name, error })
    this.#resets.delete(key)
    this.#leave(key)
  }

  async #check({ probe, timeoutMs }: Frame<'check'>): Promise<void> {
    const results: Readonly<Record<string, CheckResult>> = (await this.#checks?.run(timeoutMs)) ?? {}
    this.channel.send({ type: 'checked', probe, results })
  }

  /** One timer for all attempts; it looks again when the lease was prolonged meanwhile. */
  #watchLease(): void {
    if (this.#isWatchingLease) return
    this.#isWatchingLease = true
    setTimeout(
      () => {
        // What prolongs it may have arrived while the thread was blocked: a turn to read it.
        setImmediate(() => {
          this.#isWatchingLease = false
          if (!this.isLeased) this.#expire()
          if (this.#running.size + this.#queue.length > 0) this.#watchLease()
        })
      },
      Math.max(1, this.#leaseUntilMs - nowMs()),
    )
  }

  #expire(): void {
    for (const { task, fence } of this.#queue.splice(0)) {
      this.#journals.delete(keyOf({ task, fence }))
      this.channel.send({ type: 'lease_expired', task, fence })
    }
    for (const [key, attempt] of this.#running) {
      if (attempt.isOver) continue
      this.channel.send({ type: 'lease_expired', task: attempt.task.id, fence: attempt.fence })
      this.#take(key, attempt, leaseExpired(attempt.task.id))
    }
  }

  /** The supervisor is gone: its next one gives the tasks to others, so nothing may act any more. */
  #close(): void {
    this.#isClosing = true
    this.#queue.length = 0
    setTimeout(() => process.exit(0), closingMs)
    const why = new PrunellaError('PRUNELLA_ABORTED', 'The supervisor is gone. Stop; the task will be given out again.')
    for (const [key, attempt] of this.#running) this.#take(key, attempt, why)
    if (this.#running.size === 0) process.exit(0)
  }

  #context(): ReplicaContext {
    return { replica: this.replica, log: this.log }
  }
}

async function loadAgent(file: string, load: () => Promise<AgentModule>): Promise<AgentDefinition> {
  const { default: agent } = await load()
  if (isAgent(agent)) return agent
  const what = agent === undefined ? 'has no default export' : 'has a default export that defineAgent did not make'
  const advice = "Write `export default defineAgent({ run })`, with `import { defineAgent } from 'prunella/agent'`."
  throw new PrunellaError('PRUNELLA_INVALID', `${file} ${what}. ${advice}`)
}

function keyOf({ task, fence }: { readonly task: string; readonly fence: number }): string {
  return `${task} ${fence}`
}

function tooMuch(what: string): PrunellaError {
  return new PrunellaError('PRUNELLA_TOO_LARGE', `The supervisor sent ${what}. It should not; please report this.`)
}
