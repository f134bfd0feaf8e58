import { assertNever } from '../../model/assert.ts'
import { limits } from '../../model/limits.ts'
import type { Observation } from '../../model/observation.ts'
import type { PoolSpec } from '../../model/pool.ts'
import type { Redact } from '../../model/redact.ts'
import type { JournalStep } from '../../model/task.ts'
import type { Inbox } from '../../port/inbox.ts'
import type { Admission, ModelDoor } from '../../port/model-door.ts'
import type { HostEffect } from '../../port/process-host.ts'
import { protocolVersion } from '../../protocol/frames.ts'
import { Channel } from './channel.ts'
import { Child, type ChildExit, type Running, toErrorInfo } from './child.ts'
import { captureStack, type InspectorAddress, inspectorAddress } from './inspector.ts'
import { look } from './look.ts'
import type { Machine } from './machine.ts'
import { cleanLines, cleanText, type Subject } from './observe.ts'
import type { Replica, ReplicaHooks, SabotageFrame, WatchedProcess } from './replica.ts'

export interface ReplicaOptions {
  readonly machine: Machine
  readonly inbox: Inbox
  readonly redact: Redact
  readonly pool: PoolSpec
  readonly subject: Subject
  readonly hooks: ReplicaHooks
  /** Lets it reach the models through us; null without a gateway. */
  readonly models: ModelDoor | null
}

type Dispatch = Extract<HostEffect, { readonly kind: 'dispatch' }>
type Compact = Extract<HostEffect, { readonly kind: 'compact' }>

/** Journal steps are sent in parts well below a frame. One step's result is at most half a frame. */
const journalPartLength = limits.frameBytes / 2
const stackBoundMs = 1_000

/** An incarnation whose process speaks frames: a module agent, or a command with a client. */
export class FramedReplica implements Replica {
  readonly incarnation: number
  readonly #options: ReplicaOptions
  readonly #child: Child
  readonly #admission: Admission | null
  #channel: Channel | null = null
  #isReady = false
  /** Until when the host may work on, by the last `lease` or `dispatch`; other frames only repeat what is left. */
  #leaseUntilMs = 0
  #waitForInspector: ((address: InspectorAddress) => void) | null = null

  constructor(options: ReplicaOptions) {
    this.#options = options
    const { machine, pool, subject, hooks, models } = options
    const caller = { ...subject, pool: pool.name }
    this.#admission = models?.admit(caller, () => this.#channel?.running() ?? []) ?? null
    this.incarnation = subject.incarnation
    const name = `${subject.replica.replace('/', '-')}.${subject.incarnation}`
    this.#child = new Child(
      machine,
      { name, pool, channel: true, models: this.#admission?.variables ?? {} },
      {
        running: (process) => this.#run(process),
        failed: (error) => {
          this.#observe({ ...this.#now(), kind: 'spawn_failed', error })
          this.#leave()
        },
        line: (stream, text) => this.#line(stream, text),
        draining: () => this.#channel?.finish(),
        exited: (exit) => this.#exited(exit),
        unkillable: (pid) => {
          this.#observe({ ...this.#now(), kind: 'unkillable', pid })
          hooks.unkillable(pid)
        },
      },
    )
  }

  apply(effect: Exclude<HostEffect, { readonly kind: 'spawn' }>): void {
    const leaseMs = this.#leaseLeftMs()
    switch (effect.kind) {
      case 'terminate':
        return this.#child.terminate(effect.graceMs)
      case 'dispatch':
        return this.#dispatch(effect)
      case 'lease':
        this.#leaseUntilMs = this.#options.machine.clock.nowMs() + effect.leaseMs
        return this.#channel?.send({ type: 'lease', leaseMs: effect.leaseMs })
      case 'ack': {
        const { taskId, fence, call, phase, accepted } = effect
        return this.#channel?.send({ type: 'ack', leaseMs, task: taskId, fence, call, phase, accepted })
      }
      case 'reset':
        this.#channel?.resetAsked(effect.taskId, effect.fence)
        return this.#channel?.send({
          type: 'reset',
          leaseMs,
          task: effect.taskId,
          fence: effect.fence,
          reason: effect.reason,
        })
      case 'nudge': {
        const { taskId: task, fence, text } = effect
        this.#admission?.nudge(task, fence, text)
        return this.#channel?.send({ type: 'nudge', leaseMs, task, fence, text: text.slice(0, limits.nudgeLength) })
      }
      case 'compact':
        return this.#compact(effect, leaseMs)
      case 'ping':
        return this.#channel?.send({ type: 'ping', leaseMs, ping: effect.ping })
      case 'check':
        return this.#channel?.send({ type: 'check', leaseMs, probe: effect.probe, timeoutMs: effect.timeoutMs })
      case 'look':
        return void look(this.#child.pid).then((seen) => this.#observe({ ...this.#now(), kind: 'looked', look: seen }))
      case 'capture_stack':
        return void this.#captureStack()
      default:
        return assertNever(effect)
    }
  }

  sabotage(frame: SabotageFrame): void {
    this.#channel?.send({ ...frame, leaseMs: this.#leaseLeftMs() })
  }

  resume(): void {
    this.#channel?.resume()
  }

  everySecond(): void {
    this.#channel?.everySecond()
  }

  processes(): readonly WatchedProcess[] {
    const { pid } = this.#child
    if (pid === null) return []
    return [
      { pid, isLimited: this.#child.hasMemoryLimit, killForMemory: (evidence) => this.#child.killForMemory(evidence) },
    ]
  }

  close(): Promise<void> {
    this.#child.terminate(0)
    return this.#child.swept
  }

  #run({ pid, startTicks, channel }: Running): void {
    const { machine, inbox, redact, pool, subject, hooks } = this.#options
    this.#observe({ ...this.#now(), kind: 'spawned', pid, startTicks })
    if (channel === null) return
    this.#channel = new Channel({
      stream: channel,
      subject,
      inbox,
      clock: machine.clock,
      redact,
      onLog: (level, message) => hooks.log('log', `${level}: ${cleanText(message, limits.logLineBytes, redact)}`),
      onReady: () => {
        this.#isReady = true
      },
    })
    this.#leaseUntilMs = machine.clock.nowMs() + pool.leaseMs
    this.#channel.send({
      type: 'adopt',
      leaseMs: pool.leaseMs,
      protocol: protocolVersion,
      pool: pool.name,
      replica: subject.replica,
      incarnation: subject.incarnation,
      pulseMs: pool.pulse.everyMs,
      concurrency: pool.concurrency,
      resetMs: pool.recovery.resetMs,
    })
  }

  #dispatch({ lease, leaseMs, left }: Dispatch): void {
    if (this.#channel === null) return
    this.#leaseUntilMs = this.#options.machine.clock.nowMs() + leaseMs
    this.#channel.dispatched(lease.taskId, lease.fence, left ?? null)
    const attempt = { leaseMs, task: lease.taskId, fence: lease.fence }
    for (const steps of journalParts(lease.journal)) this.#channel.send({ type: 'journal', ...attempt, steps })
    const { attempt: number, input, deadlineMs, previous } = lease
    const more = left === undefined ? {} : { left }
    try {
      this.#channel.send({ type: 'task', ...attempt, attempt: number, input, deadlineMs, previous, ...more })
    } catch (error) {
      const { taskId, fence } = lease
      this.#observe({ ...this.#now(), taskId, fence, kind: 'failed', error: toErrorInfo(error) })
    }
  }

  #compact({ taskId: task, fence, timeoutMs, reason }: Compact, leaseMs: number): void {
    this.#channel?.compactAsked(task, fence)
    this.#channel?.send({ type: 'compact', leaseMs, task, fence, timeoutMs, reason })
  }

  #line(stream: 'stdout' | 'stderr', text: string): void {
    const address = stream === 'stderr' && this.#waitForInspector !== null ? inspectorAddress(text) : null
    if (address === 'noise') return
    if (address !== null) return this.#waitForInspector?.(address)
    this.#options.hooks.log(stream, this.#options.redact(text))
  }

  async #captureStack(): Promise<void> {
    const { pool, machine, redact } = this.#options
    // Before it is ready the signal kills, and other runtimes than Node always die of it.
    const canAsk = this.#isReady && pool.agent.kind === 'module' && this.#waitForInspector === null
    const bound = AbortSignal.timeout(stackBoundMs)
    const frames = canAsk
      ? await captureStack(
          new Promise((resolve) => {
            this.#waitForInspector = resolve
            this.#child.openInspector()
          }),
          machine.root,
          bound,
        )
      : []
    if (canAsk) this.#waitForInspector = null
    this.#observe({
      ...this.#now(),
      kind: 'stack',
      frames: frames.map((frame) => cleanText(frame, limits.noteLength, redact)),
    })
  }

  #exited({ code, signal, cause, stderrTail }: ChildExit): void {
    this.#channel?.close()
    const tail = cleanLines(stderrTail, limits.stderrTailBytes, this.#options.redact)
    this.#observe({ ...this.#now(), kind: 'exited', code, signal, cause, stderrTail: tail })
    this.#leave()
  }

  #leave(): void {
    this.#admission?.revoke()
    this.#options.hooks.gone()
  }

  #leaseLeftMs(): number {
    return Math.max(0, Math.round(this.#leaseUntilMs - this.#options.machine.clock.nowMs()))
  }

  #now() {
    return { ...this.#options.subject, atMs: this.#options.machine.clock.nowMs() }
  }

  #observe(observation: Observation): void {
    this.#options.inbox.push(observation)
  }
}

/** In order, each part below a frame. */
function* journalParts(journal: readonly JournalStep[]): Generator<readonly JournalStep[]> {
  let part: JournalStep[] = []
  let length = 0
  for (const step of journal) {
    const stepLength = JSON.stringify(step).length
    if (part.length > 0 && length + stepLength > journalPartLength) {
      yield part
      part = []
      length = 0
    }
    part.push(step)
    length += stepLength
  }
  if (part.length > 0) yield part
}
