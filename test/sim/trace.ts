import type { Batch, Committed } from '../../src/model/change.ts'
import type { ReplicaName, TaskId } from '../../src/model/ids.ts'
import type { Notification } from '../../src/model/notification.ts'
import type { Observation, OperatorCommand } from '../../src/model/observation.ts'
import type { SubmitOutcome } from '../../src/model/task.ts'
import type { HostEffect } from '../../src/port/process-host.ts'
import type { Inheritance } from '../../src/port/store.ts'
import type { SimClock } from './clock.ts'
import type { Post, SinkVerdict } from './sink.ts'

/** One process, for ever: a place's incarnation is never used twice. */
export interface ProcessName {
  readonly replica: ReplicaName
  readonly incarnation: number
}

/** What is really wrong with a process or an attempt: known to the simulator, never told to the supervisor. */
export type Wound =
  | 'loop'
  | 'stopped'
  | 'disk'
  | 'blocked_too_long'
  | 'stall'
  | 'violation'
  | 'start'
  | 'deaf_to_reset'
  | 'poison'
  /** Its own connections to the dependency are lost, until it is replaced. */
  | 'severed'
  /** Its memory grows without end. */
  | 'leak'
  /** An attempt of it gets nowhere: see `Habit`. */
  | 'astray'

/** Everything that happens in a simulation, in order. Checkers see nothing else. */
export type TraceEvent =
  | { readonly kind: 'supervisor'; readonly what: 'born' | 'started' | 'crashed' | 'paused' | 'woke' }
  | { readonly kind: 'observed'; readonly observation: Observation }
  | { readonly kind: 'took_over'; readonly inheritance: Inheritance }
  | { readonly kind: 'committed'; readonly batch: Batch; readonly result: Committed }
  | { readonly kind: 'commit_failed'; readonly batch: Batch }
  /** Any other call of the store that was refused. */
  | { readonly kind: 'store_failed'; readonly call: string }
  | { readonly kind: 'effect'; readonly effect: HostEffect }
  | { readonly kind: 'submitted'; readonly outcomes: readonly SubmitOutcome[] }
  | { readonly kind: 'operator'; readonly command: OperatorCommand }
  /** Answered by the store itself: `retry` clears the journal, `resolve` lets a held task go. */
  | { readonly kind: 'reopened'; readonly taskId: TaskId; readonly by: 'retry' | 'resolve' }
  | ({ readonly kind: 'process'; readonly what: 'spawned' | 'gone' | 'given_up' | 'orphaned' } & ProcessName)
  | ({
      readonly kind: 'wound'
      readonly wound: Wound
      readonly taskId: TaskId | null
      readonly healed: boolean
    } & ProcessName)
  /** A step or tool function begins to run, or has settled. */
  | ({
      readonly kind: 'acting'
      readonly on: boolean
      readonly taskId: TaskId
      readonly fence: number
      readonly step: string
    } & ProcessName)
  /** The dependency goes down, or answers again: the truth. */
  | { readonly kind: 'provider'; readonly up: boolean }
  /** The supervisor's own check of it begins. */
  | { readonly kind: 'probed' }
  /** What it answers to that. */
  | { readonly kind: 'probe_answered'; readonly ok: boolean }
  /** A call that uses the dependency got through, or did not; `severed`: only this process could not. */
  | ({
      readonly kind: 'used'
      readonly ok: boolean
      readonly severed: boolean
      readonly declared: boolean
      readonly taskId: TaskId
      readonly fence: number
    } & ProcessName)
  | { readonly kind: 'post'; readonly post: Post; readonly verdict: SinkVerdict }
  /** A notification arrived at its receiver, whether or not the sender learns it. */
  | { readonly kind: 'notified'; readonly to: string; readonly notification: Notification }
  | { readonly kind: 'faults_over' }
  /** The supervisor's own report after a tick (R11). */
  | { readonly kind: 'ticked'; readonly lastSweepMs: number; readonly lagMs: number }

/** Pulses are seen only by who asks for them: there are more of them than of everything else. */
export type TraceKind = TraceEvent['kind'] | 'pulse'

export interface Violation {
  readonly rule: string
  readonly atMs: number
  readonly text: string
}

/** A rule with memory: sees the events it named, reports what must not be. */
export interface Checker {
  readonly rule: string
  readonly sees: readonly TraceKind[]
  see(event: TraceEvent, atMs: number): void
}

const lineCount = 40
const maxViolations = 20
const noReaders: readonly Checker[] = []

export class Trace {
  readonly violations: Violation[] = []
  private readonly clock: SimClock
  private readonly readers = new Map<TraceKind, Checker[]>()
  private readonly last: { readonly atMs: number; readonly event: TraceEvent }[] = []
  private position = 0
  private readonly keepsHash: boolean
  private hash = 0x811c9dc5
  eventCount = 0

  constructor(clock: SimClock, keepsHash: boolean) {
    this.clock = clock
    this.keepsHash = keepsHash
  }

  read(checkers: readonly Checker[]): void {
    for (const checker of checkers) {
      for (const kind of checker.sees) {
        const readers = this.readers.get(kind)
        if (readers === undefined) this.readers.set(kind, [checker])
        else readers.push(checker)
      }
    }
  }

  note(event: TraceEvent): void {
    const atMs = this.clock.nowMs()
    this.eventCount += 1
    if (this.keepsHash) this.digest(`${atMs}${JSON.stringify(event)}`)
    const isPulse = event.kind === 'observed' && event.observation.kind === 'pulse'
    if (!isPulse && !isNoise(event)) {
      this.last[this.position] = { atMs, event }
      this.position = (this.position + 1) % lineCount
    }
    for (const reader of this.readers.get(isPulse ? 'pulse' : event.kind) ?? noReaders) reader.see(event, atMs)
  }

  violate(rule: string, text: string): void {
    if (this.violations.length < maxViolations) this.violations.push({ rule, atMs: this.clock.nowMs(), text })
  }

  /** One number for the whole history: the same seed gives the same, bit for bit. */
  get fingerprint(): number {
    return this.hash >>> 0
  }

  /** The newest events, oldest first, without the pulses. */
  lines(): readonly string[] {
    const ordered = [...this.last.slice(this.position), ...this.last.slice(0, this.position)]
    return ordered.map(({ atMs, event }) => `${(atMs / 1000).toFixed(3)} ${JSON.stringify(event).slice(0, 600)}`)
  }

  private digest(text: string): void {
    for (let at = 0; at < text.length; at++) {
      this.hash ^= text.charCodeAt(at)
      this.hash = Math.imul(this.hash, 0x01000193)
    }
  }
}

/** What comes every second from everybody and says nothing. */
function isNoise(event: TraceEvent): boolean {
  switch (event.kind) {
    case 'observed':
      return event.observation.kind === 'pong'
    case 'effect':
      return event.effect.kind === 'lease' || event.effect.kind === 'ping'
    case 'ticked':
      return true
    case 'committed':
      return event.batch.decisions.every((changes) => changes.every((change) => change.kind === 'renew'))
    default:
      return false
  }
}
