import type { ReplicaName, TaskId } from '../../src/model/ids.ts'
import type { AttemptObservation, ExitCause, ProcessLook, ReplicaObservation } from '../../src/model/observation.ts'
import type { PoolSpec } from '../../src/model/pool.ts'
import type { Lease } from '../../src/model/task.ts'
import { SimAttempt } from './attempt.ts'
import type { SimClock } from './clock.ts'
import type { Provider } from './provider.ts'
import type { Fates, Habit, Poison, StartFate } from './script.ts'
import type { Sink } from './sink.ts'
import type { Trace, Wound } from './trace.ts'

export type ProcessObservation = ReplicaObservation | AttemptObservation

/** The supervisor's end of a process's channel. */
export interface Channel {
  receive(observation: ProcessObservation): void
}

/** Why the main loop does not turn. */
interface Stuck {
  readonly why: 'loop' | 'stopped' | 'disk' | 'blocked' | 'computing' | 'starved'
  readonly sinceMs: number
}

export interface ProcessParts {
  readonly clock: SimClock
  readonly trace: Trace
  readonly sink: Sink
  readonly provider: Provider
  readonly fates: Fates
  readonly startOf: (replica: ReplicaName) => StartFate | null
  /** Called when the process is gone for good. */
  readonly onGone: (process: SimProcess) => void
}

/** Every process pulses in one of so many moments of the period: several fall together. */
export const pulseSlots = 2
const framesKept = 6
const exitStatus: Readonly<
  Record<
    ExitCause | 'clean',
    {
      readonly code: number | null
      readonly signal: string | null
      readonly cause: ExitCause
      readonly stderrTail: string
    }
  >
> = {
  clean: { code: 0, signal: null, cause: 'exit', stderrTail: '' },
  exit: { code: 1, signal: null, cause: 'exit', stderrTail: 'Error: scripted' },
  signal: { code: null, signal: 'SIGKILL', cause: 'signal', stderrTail: '' },
  oom_kill: { code: null, signal: 'SIGKILL', cause: 'oom_kill', stderrTail: '' },
  heap_exhausted: { code: 134, signal: null, cause: 'heap_exhausted', stderrTail: 'Reached heap limit' },
}

/** One simulated process: the operating system's side of it, and the agent's host inside. */
export class SimProcess {
  readonly replica: ReplicaName
  readonly incarnation: number
  readonly pool: PoolSpec
  readonly pid: number
  readonly slot: number
  readonly fates: Fates
  readonly sink: Sink
  readonly trace: Trace
  private readonly parts: ProcessParts
  private readonly clock: SimClock
  channel: Channel | null
  phase: 'booting' | 'setup' | 'ready' | 'gone' = 'booting'
  /** SIGKILL does not reach it before this time. */
  unkillableUntilMs = 0
  private killed = false
  /** Its own connections to what everybody uses are lost. */
  isSevered = false
  private hasViolated = false
  /** What every attempt of it does, and whether its next call never returns. */
  habit: Habit | null = null
  stallsNext = false
  private stuck: Stuck | null = null
  /** What waits for the main loop to turn again: frames are read before anything judges by them. */
  private unread: (() => void)[] = []
  private deferred: (() => void)[] = []
  private leaseUntilMs = Number.POSITIVE_INFINITY
  private readonly queue: SimAttempt[] = []
  readonly running: SimAttempt[] = []
  /** Its newest frames: a ghost repeats them. */
  readonly sent: ProcessObservation[] = []

  constructor(
    parts: ProcessParts,
    pool: PoolSpec,
    name: { readonly replica: ReplicaName; readonly incarnation: number },
    pid: number,
    channel: Channel,
  ) {
    this.parts = parts
    this.clock = parts.clock
    this.trace = parts.trace
    this.sink = parts.sink
    this.fates = parts.fates
    this.pool = pool
    this.replica = name.replica
    this.incarnation = name.incarnation
    this.pid = pid
    this.slot = pid % pulseSlots
    this.channel = channel
  }

  nowMs(): number {
    return this.clock.nowMs()
  }

  /** Runs `fire` in the process's own main loop: not when it is gone, and only later when it is stuck. */
  at(delayMs: number, fire: () => void): void {
    this.clock.after(delayMs, () => {
      if (this.phase === 'gone') return
      if (this.stuck === null) fire()
      else this.deferred.push(fire)
    })
  }

  boot(): void {
    if (this.phase === 'gone') return
    const fate = this.parts.startOf(this.replica) ?? this.fates.start()
    if (fate.kind === 'not_spawned') {
      this.phase = 'gone'
      this.send({ kind: 'spawn_failed', error: { name: 'Error', message: 'spawn EAGAIN' }, ...this.stamp() }, true)
      this.parts.onGone(this)
      return
    }
    this.trace.note({ kind: 'process', what: 'spawned', replica: this.replica, incarnation: this.incarnation })
    this.phase = 'setup'
    this.send({ kind: 'spawned', pid: this.pid, startTicks: this.pid * 7, ...this.stamp() })
    if (fate.kind !== 'ready') this.wound('start', null)
    if (fate.kind === 'hangs') return
    this.at(fate.afterMs, () => {
      if (fate.kind === 'crashes') return this.exit('exit')
      if (fate.kind === 'setup_failed') {
        this.send({ kind: 'setup_failed', error: { name: 'Error', message: 'scripted' }, ...this.stamp() })
        this.at(1, () => this.exit('exit'))
        return
      }
      this.phase = 'ready'
      this.send({ kind: 'ready', checks: [], resettable: true, compactable: false, ...this.stamp() })
    })
  }

  /** One turn of the pulse timer. */
  pulse(): void {
    if (this.phase !== 'ready' || this.stuck !== null) return
    if (this.isLeaseOver()) this.expireLease()
    // By far the most frequent frame: no spread, and nothing kept of it.
    const { replica, incarnation } = this
    this.channel?.receive({ kind: 'pulse', lagMs: 0, replica, incarnation, atMs: this.clock.nowMs() })
  }

  private stamp() {
    return { replica: this.replica, incarnation: this.incarnation, atMs: this.clock.nowMs() }
  }

  send(observation: ProcessObservation, evenGone = false): void {
    if (this.channel === null || (this.phase === 'gone' && !evenGone)) return
    if (this.sent.length >= framesKept) this.sent.shift()
    this.sent.push(observation)
    this.channel.receive(observation)
  }

  // What the supervisor says. Each frame prolongs the host's lease; a stuck process reads it when it thaws.

  hear(leaseMs: number, fire: () => void): void {
    if (this.phase === 'gone') return
    const read = (): void => {
      this.leaseUntilMs = this.clock.nowMs() + leaseMs
      fire()
    }
    if (this.stuck === null) read()
    else this.unread.push(read)
  }

  dispatch(lease: Lease): void {
    this.queue.push(new SimAttempt(this, lease))
    this.fill()
  }

  reset(taskId: TaskId, fence: number): void {
    const mine = (attempt: SimAttempt): boolean => attempt.lease.taskId === taskId && attempt.lease.fence === fence
    const attempt = this.running.find(mine) ?? this.queue.find(mine)
    if (attempt !== undefined) return attempt.reset()
    // It has ended already: there is nothing to settle.
    this.send({ kind: 'reset_ok', taskId, fence, ...this.stamp() })
  }

  acknowledge(taskId: TaskId, fence: number, call: number, phase: 'start' | 'end', accepted: boolean): void {
    this.running
      .find((attempt) => attempt.lease.taskId === taskId && attempt.lease.fence === fence)
      ?.acknowledged(call, phase, accepted)
  }

  /** The attempt has settled: its place is free. */
  release(attempt: SimAttempt): void {
    remove(this.running, attempt)
    remove(this.queue, attempt)
    this.fill()
  }

  private fill(): void {
    while (this.running.length < this.pool.concurrency) {
      const attempt = this.queue.shift()
      if (attempt === undefined) return
      this.running.push(attempt)
      attempt.begin()
    }
  }

  isLeaseOver(): boolean {
    return this.clock.nowMs() > this.leaseUntilMs
  }

  expireLease(): void {
    for (const attempt of [...this.running, ...this.queue]) attempt.expire()
  }

  // What happens to it.

  wound(wound: Wound, taskId: TaskId | null): void {
    this.trace.note({
      kind: 'wound',
      wound,
      taskId,
      healed: false,
      replica: this.replica,
      incarnation: this.incarnation,
    })
  }

  private heal(wound: Wound): void {
    this.trace.note({
      kind: 'wound',
      wound,
      taskId: null,
      healed: true,
      replica: this.replica,
      incarnation: this.incarnation,
    })
  }

  poison(poison: Poison, taskId: TaskId): void {
    this.wound('poison', taskId)
    if (poison === 'loop') this.seize('loop', Number.POSITIVE_INFINITY)
    else if (poison === 'violation') this.violate()
    else this.exit(poison === 'crash' ? 'exit' : 'oom_kill')
  }

  sever(): void {
    if (this.phase !== 'ready' || this.isSevered) return
    this.isSevered = true
    this.wound('severed', null)
  }

  get reachesProvider(): boolean {
    return !this.isSevered && this.parts.provider.answers(this.replica)
  }

  /** Once it answers; never for who is severed. */
  whenReached(fire: () => void): void {
    this.parts.provider.whenUp(() => {
      if (!this.isSevered) this.at(this.fates.smallMs(), fire)
    })
  }

  /** Once: nothing is read of it afterwards. */
  violate(): void {
    if (this.phase === 'gone' || this.hasViolated) return
    this.hasViolated = true
    this.wound('violation', null)
    this.send({ kind: 'violation', reason: 'a line that is not JSON', ...this.stamp() })
  }

  /** The main loop stands still for `forMs`, for good when that is infinite. */
  seize(why: Stuck['why'], forMs: number): void {
    if (this.phase === 'gone' || this.phase === 'booting' || this.stuck !== null) return
    const stuck = { why, sinceMs: this.clock.nowMs() }
    this.stuck = stuck
    const wound = why === 'loop' || why === 'stopped' || why === 'disk' ? why : null
    if (wound !== null) this.wound(wound, null)
    if (Number.isFinite(forMs)) this.clock.after(forMs, () => this.thaw(stuck, wound))
  }

  private thaw(stuck: Stuck, wound: Wound | null): void {
    // A SIGKILL that waited for the disk comes first.
    if (this.stuck !== stuck || this.phase === 'gone' || this.killed) return
    this.stuck = null
    if (wound !== null) this.heal(wound)
    const frames = this.unread
    const waiting = this.deferred
    this.unread = []
    this.deferred = []
    for (const read of frames) {
      if (this.isStuck) this.unread.push(read)
      else read()
    }
    for (const fire of waiting) {
      this.at(0, fire)
    }
    this.at(0, () => this.pulse())
  }

  /** Inside `execSync`, asleep with a child; or, where it was declared, in a long computation. */
  block(forMs: number, declaredMs: number | null, taskId: TaskId): void {
    if (forMs >= (declaredMs ?? this.pool.deadlines.stepMs)) this.wound('blocked_too_long', taskId)
    this.seize(declaredMs !== null && forMs % 2 === 0 ? 'computing' : 'blocked', forMs)
  }

  look(): ProcessLook {
    if (this.phase === 'gone') return { state: 'gone', cpuMs: 0, children: 0 }
    const { stuck } = this
    const baseMs = 100
    if (stuck === null) return { state: 'S', cpuMs: baseMs, children: 0 }
    const stuckMs = this.clock.nowMs() - stuck.sinceMs
    switch (stuck.why) {
      case 'loop':
      case 'computing':
        return { state: 'R', cpuMs: baseMs + stuckMs, children: 0 }
      case 'stopped':
        return { state: 'T', cpuMs: baseMs, children: 0 }
      case 'disk':
        return { state: 'D', cpuMs: baseMs, children: 0 }
      case 'blocked':
        return { state: 'S', cpuMs: baseMs, children: 1 }
      case 'starved':
        return { state: 'R', cpuMs: baseMs + Math.floor(stuckMs / 1000) * 10, children: 0 }
    }
  }

  get isStuck(): boolean {
    return this.stuck !== null
  }

  get isIdle(): boolean {
    return this.running.length === 0
  }

  /** SIGTERM: a main loop that turns ends the process, unless this agent is deaf to it. */
  term(): void {
    if (this.fates.ignoresTerm()) return
    this.at(this.fates.smallMs(), () => this.exit('signal'))
  }

  kill(): void {
    if (this.killed || this.phase === 'gone') return
    this.killed = true
    this.clock.at(Math.max(this.clock.nowMs() + 1, this.unkillableUntilMs), () => this.exit('signal'))
  }

  /** The supervisor's end of the channel closed. A loop that turns sees it and ends itself. */
  orphan(): void {
    this.channel = null
    this.trace.note({ kind: 'process', what: 'orphaned', replica: this.replica, incarnation: this.incarnation })
    this.at(this.fates.smallMs() * 5, () => this.exit('clean'))
  }

  exit(how: ExitCause | 'clean'): void {
    if (this.phase === 'gone') return
    this.trace.note({ kind: 'process', what: 'gone', replica: this.replica, incarnation: this.incarnation })
    this.send({ kind: 'exited', ...exitStatus[how], ...this.stamp() })
    this.phase = 'gone'
    this.parts.onGone(this)
  }
}

function remove<Item>(items: Item[], item: Item): void {
  const at = items.indexOf(item)
  if (at >= 0) items.splice(at, 1)
}
