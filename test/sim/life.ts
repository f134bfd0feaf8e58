import type { Batch, Committed } from '../../src/model/change.ts'
import type { TaskId } from '../../src/model/ids.ts'
import type { Notification } from '../../src/model/notification.ts'
import type { Observation } from '../../src/model/observation.ts'
import type { CheckResult } from '../../src/model/probe.ts'
import type { Clock } from '../../src/port/clock.ts'
import type { Notifier, SendOutcome } from '../../src/port/notifier.ts'
import type { Prober } from '../../src/port/prober.ts'
import type { HostEffect, ProcessHost } from '../../src/port/process-host.ts'
import type { Store } from '../../src/port/store.ts'
import { createInbox, type TickInbox } from '../../src/runtime/inbox.ts'
import type { SimClock } from './clock.ts'
import { type Machine, SimHost } from './host.ts'
import type { MemoryStore } from './memory-store.ts'
import { answerOf, notify } from './notifiers.ts'
import type { ProcessObservation } from './process.ts'
import type { Provider } from './provider.ts'
import { type CallName, type Mishap, type Sweep, storeFailure } from './sweep.ts'
import type { Trace } from './trace.ts'

/** What every supervisor of a simulation shares. */
export interface Surroundings {
  readonly clock: SimClock
  readonly trace: Trace
  readonly machine: Machine
  readonly provider: Provider
  readonly store: MemoryStore
  /** Until when commits fail. */
  failingUntilMs: number
  /** Until when commits are slow, and how slow. */
  slowUntilMs: number
  slowMs: number
  /** Numbers the calls, where one of them is to be struck. */
  readonly sweep: Sweep | null
  /** Something asynchronous was set going: promises must run before time does. */
  stirred: boolean
}

/**
 * One life of a supervisor: its own view of the clock, the store, the host and
 * the inbox. It can die between any two of its calls, and be paused while the
 * world goes on.
 */
export class Life {
  readonly inbox: TickInbox
  readonly store: Store
  readonly host: ProcessHost
  readonly prober: Prober
  readonly notifiers: readonly Notifier[]
  readonly clock: Clock
  alive = true
  paused = false
  /** Calls until it dies; Infinity: it does not. */
  callsLeft = Number.POSITIVE_INFINITY
  private readonly world: Surroundings
  private readonly isBlind: boolean
  private readonly onDeath: () => void
  /** What waits for the pause to end: its timers, and frames in the pipes. */
  private timers: (() => void)[] = []
  private frames: ProcessObservation[] = []
  private lastBatch: Batch | null = null

  /** @param isBlind  A planted bug: see `Bugs.dependenciesUnseen`. */
  constructor(world: Surroundings, isBlind: boolean, onDeath: () => void) {
    this.world = world
    this.isBlind = isBlind
    this.onDeath = onDeath
    this.inbox = this.watched(createInbox())
    this.clock = { nowMs: () => world.clock.nowMs(), sleepUntil: (atMs, signal) => this.sleep(atMs, signal) }
    this.store = this.mortalStore(world.store)
    const channel = { receive: (observation: ProcessObservation) => this.receive(observation) }
    const host = new SimHost(world.machine, channel, (delayMs, fire) => this.later(delayMs, fire))
    this.host = {
      blindSpots: host.blindSpots,
      logs: () => host.logs(),
      close: () => host.close(),
      killOrphans: (records) => this.asked('host', 'killOrphans', () => host.killOrphans(records)),
      apply: (effect: HostEffect) => this.told(host, effect),
    }
    this.prober = { check: () => this.asked('prober', 'check', (mishap) => this.probe(mishap === 'fails')) }
    this.notifiers = notify.map(({ name, kind, timeoutMs }) => ({
      ...{ name, kind, timeoutMs },
      send: (notification) =>
        this.asked('notifier', 'send', (mishap) => this.send(name, notification, mishap === 'fails')),
    }))
  }

  die(): void {
    if (!this.alive) return
    this.alive = false
    this.paused = false
    this.onDeath()
  }

  pause(): void {
    this.paused = true
    this.world.trace.note({ kind: 'supervisor', what: 'paused' })
  }

  /** Timers that have run out and frames that have come in meanwhile all turn up now, in one order or the other. */
  wake(framesFirst: boolean): void {
    if (!this.alive) return
    this.paused = false
    this.world.trace.note({ kind: 'supervisor', what: 'woke' })
    const { timers, frames } = this
    this.timers = []
    this.frames = []
    const read = (): void => {
      for (const frame of frames) this.receive({ ...frame, atMs: this.world.clock.nowMs() })
    }
    if (framesFirst) read()
    for (const fire of timers) this.later(0, fire)
    if (!framesFirst) this.world.clock.after(1, read)
  }

  private receive(observation: ProcessObservation): void {
    if (!this.alive) return
    if (this.paused) this.frames.push(observation)
    else this.inbox.push(this.isBlind ? blinded(observation) : observation)
  }

  private later(delayMs: number, fire: () => void): void {
    this.world.clock.after(delayMs, () => {
      if (!this.alive) return
      if (this.paused) this.timers.push(fire)
      else fire()
    })
  }

  /** As `later`, for what a promise waits for. */
  private answerLater(delayMs: number, resolve: () => void): void {
    this.later(delayMs, () => {
      this.world.stirred = true
      resolve()
    })
  }

  private sleep(atMs: number, signal: AbortSignal): Promise<void> {
    const delayMs = atMs - this.world.clock.nowMs()
    if (delayMs <= 0 || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const cut = (): void => {
        this.world.stirred = true
        resolve()
      }
      signal.addEventListener('abort', cut, { once: true })
      if (Number.isFinite(delayMs)) this.answerLater(delayMs, resolve)
    })
  }

  /** Counts down to its death. False: it is dead, and the call is not made. */
  private mayCall(): boolean {
    if (!this.alive) return false
    this.callsLeft -= 1
    if (this.callsLeft > 0) return true
    this.die()
    return false
  }

  /** What befalls the next call. Killed before it, the supervisor is dead when this returns. */
  private befalls(port: CallName, what: string): Mishap | null {
    const mishap = this.world.sweep?.next(port, what) ?? null
    if (mishap === 'killed_before') this.die()
    return mishap
  }

  /** A call with an answer: the supervisor may die before it, or before the answer. */
  private async asked<Answer>(
    port: CallName,
    what: string,
    call: (mishap: Mishap | null) => Promise<Answer>,
  ): Promise<Answer> {
    if (!this.mayCall()) return never()
    const mishap = this.befalls(port, what)
    if (!this.alive) return never()
    const answer = await call(mishap)
    if (mishap === 'killed_after') this.die()
    return this.mayCall() ? answer : never()
  }

  private told(host: SimHost, effect: HostEffect): void {
    if (!this.mayCall()) return
    const mishap = this.befalls('host', effect.kind)
    if (!this.alive) return
    host.apply(effect)
    if (mishap === 'killed_after') this.die()
  }

  private watched(inbox: TickInbox): TickInbox {
    const { trace } = this.world
    const push = inbox.push.bind(inbox)
    inbox.push = (observation: Observation) => {
      if (!this.alive) return
      trace.note({ kind: 'observed', observation })
      push(observation)
    }
    return inbox
  }

  private probe(fails: boolean): Promise<CheckResult> {
    const { trace, provider } = this.world
    trace.note({ kind: 'probed' })
    return new Promise((resolve) => {
      this.answerLater(20, () => {
        const ok = !fails && (!provider.isDown || provider.passesCheck)
        trace.note({ kind: 'probe_answered', ok })
        resolve(ok ? { ok } : { ok, reason: 'connection refused' })
      })
    })
  }

  private send(to: string, notification: Notification, fails: boolean): Promise<SendOutcome> {
    const { world } = this
    const answer = answerOf(notification, world.clock.nowMs())
    if (answer === 'hangs') return never()
    return new Promise((resolve) => {
      this.answerLater(20, () => {
        const arrives = !fails && answer !== 'retry' && !world.provider.isDown
        if (arrives) world.trace.note({ kind: 'notified', to, notification })
        resolve(arrives && answer === 'sent' ? 'sent' : { retry: 'simulated' })
      })
    })
  }

  private mortalStore(store: Store): Store {
    const through = <Answer>(what: string, call: () => Promise<Answer>): Promise<Answer> =>
      this.asked('store', what, (mishap) => {
        if (mishap !== 'fails') return call()
        this.world.trace.note({ kind: 'store_failed', call: what })
        return Promise.reject(storeFailure())
      })
    return {
      takeOver: (nowMs) => through('takeOver', () => store.takeOver(nowMs)),
      submit: (tasks, queueLimit) => through('submit', () => store.submit(tasks, queueLimit)),
      commit: (batch) => this.asked('store', 'commit', (mishap) => this.commit(batch, mishap === 'fails')),
      retry: (taskId, input, nowMs) =>
        through('retry', async () => this.reopened('retry', taskId, await store.retry(taskId, input, nowMs))),
      resolve: (taskId, answer, nowMs) =>
        through('resolve', async () => this.reopened('resolve', taskId, await store.resolve(taskId, answer, nowMs))),
      task: (taskId) => through('task', () => store.task(taskId)),
      tasks: (query) => through('tasks', () => store.tasks(query)),
      overdue: (nowMs, limit) => through('overdue', () => store.overdue(nowMs, limit)),
      incident: (id) => through('incident', () => store.incident(id)),
      incidents: (query) => through('incidents', () => store.incidents(query)),
      audit: (limit) => through('audit', () => store.audit(limit)),
      outbox: (notifier, limit) => through('outbox', () => store.outbox(notifier, limit)),
      depths: () => through('depths', () => store.depths()),
      prune: (keep) => through('prune', () => store.prune(keep)),
      close: () => Promise.resolve(),
    }
  }

  private reopened<Outcome extends string>(by: 'retry' | 'resolve', taskId: TaskId, outcome: Outcome): Outcome {
    if (outcome === 'queued') this.world.trace.note({ kind: 'reopened', taskId, by })
    return outcome
  }

  private async commit(batch: Batch, fails: boolean): Promise<Committed> {
    const { world } = this
    this.lastBatch = batch
    if (world.clock.nowMs() < world.slowUntilMs) await new Promise<void>((resolve) => this.later(world.slowMs, resolve))
    if (fails || world.clock.nowMs() < world.failingUntilMs) {
      world.store.returnLeases(batch)
      world.trace.note({ kind: 'commit_failed', batch })
      throw storeFailure()
    }
    const result = await world.store.commit(batch)
    world.trace.note({ kind: 'committed', batch, result })
    return result
  }

  /**
   * The last thing it sent to the store: its connection may deliver that (again)
   * when the next supervisor has long taken over. Only writes under a fence:
   * those the store itself must refuse.
   */
  get lastWords(): Batch | null {
    const batch = this.lastBatch
    if (batch === null) return null
    const fenced = batch.decisions
      .filter((changes) => changes.some((change) => 'fence' in change))
      .map((changes) => changes.filter((change) => 'fence' in change))
    return fenced.length === 0 ? null : { ...batch, decisions: fenced, claims: [] }
  }
}

/** A dead supervisor's calls are never answered. */
function never(): Promise<never> {
  return new Promise(() => {})
}

function blinded(observation: ProcessObservation): ProcessObservation {
  if (observation.kind !== 'call_started') return observation
  return { ...observation, start: { ...observation.start, dependency: null } }
}
