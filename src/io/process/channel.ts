import type { Duplex } from 'node:stream'
import { limits } from '../../model/limits.ts'
import type { Redact } from '../../model/redact.ts'
import type { Allowance } from '../../model/spent.ts'
import type { Clock } from '../../port/clock.ts'
import type { Inbox } from '../../port/inbox.ts'
import type { RunningAttempt } from '../../port/model-door.ts'
import { FrameReader } from '../../protocol/decode.ts'
import { encode } from '../../protocol/encode.ts'
import { type AgentFrame, protocolVersion, type SupervisorFrame } from '../../protocol/frames.ts'
import { Attempts } from './attempts.ts'
import { type Subject, toObservation } from './observe.ts'
import { parseFrame } from './schema.ts'

/*
 * The supervisor's end of one agent's channel. What an agent may do to it:
 *
 * | what | limit | beyond it |
 * | --- | --- | --- |
 * | one frame, with its newline | `frameBytes` | violation |
 * | nesting | `jsonDepth` | violation |
 * | not JSON, not UTF-8, not in the schema, no `hello` first | | violation |
 * | `output` of a task, `result` of a call | `payloadBytes` | violation: clients refuse it before they send |
 * | answers to what was dispatched: `started`, `done`, `failed`, `reset_*`, `compact*`, `lease_expired` | one each (`attempts.ts`) | stray |
 * | work of a dispatched attempt: calls, progress, model calls, user turns | `attemptFramesPerSecond` | not read for the rest of the second; never a violation, it is only slowed down |
 * | everything else: pulse, pong, checked, log, strays | `unsolicitedFramesPerSecond` (ten `log` count as one) | not read for the rest of the second; after `floodSeconds` such seconds in a row a violation |
 * | lines in `log` frames | `logLinesPerSecond` | dropped |
 * | half a frame to which nothing is added | `halfFrameSeconds` | violation |
 * | what it does not read | `channelBacklogBytes` | violation |
 *
 * A stray (an attempt that was not given to this process, an answer given twice)
 * is dropped and counted. It is not a violation by itself: a `done` and a reset may cross.
 *
 * A violation is said once; from then on nothing is read and nothing written.
 */
export interface ChannelOptions {
  readonly stream: Duplex
  readonly subject: Subject
  readonly inbox: Inbox
  readonly clock: Clock
  readonly redact: Redact
  readonly onLog: (level: string, message: string) => void
  /** `setup` is done. */
  readonly onReady: () => void
}

const logWeight = 0.1

export class Channel {
  /** Frames dropped because nothing was asked. */
  strays = 0
  readonly #options: ChannelOptions
  readonly #attempts = new Attempts()
  #state: 'open' | 'final' | 'closed' = 'open'
  #greeted = false
  /** Holds what was received and not yet read; at most one frame and one chunk, since a stream that pauses sends no more. */
  #reader = new FrameReader()
  #outbox: string[] = []
  #outboxBytes = 0
  #secondMs = 0
  #unsolicited = 0
  #attemptFrames = 0
  #logs = 0
  #isFlooded = false
  #floodedSeconds = 0
  #paused = false
  #resumeTimer: NodeJS.Timeout | undefined
  #pulseOnData = false
  #heldBytes = 0
  #heldSeconds = 0

  constructor(options: ChannelOptions) {
    this.#options = options
    const { stream } = options
    stream.on('data', (chunk: Buffer) => this.#receive(chunk))
    stream.on('error', () => undefined) // The other end died: its exit says so.
  }

  /** @throws PrunellaError TOO_LARGE: nothing was sent. */
  send(frame: SupervisorFrame): void {
    if (this.#state !== 'open') return
    const text = encode(frame)
    if (this.#outbox.length === 0) queueMicrotask(() => this.#flush()) // All frames of one turn in one write.
    this.#outbox.push(text)
    this.#outboxBytes += text.length
    if (this.#outboxBytes + this.#options.stream.writableLength > limits.channelBacklogBytes) {
      this.#violate(`does not read its channel: ${limits.channelBacklogBytes} bytes wait for it`)
    }
  }

  /** The attempt may be answered from now on. */
  dispatched(taskId: string, fence: number, left: Allowance | null = null): void {
    this.#attempts.dispatched(taskId, fence, left)
  }

  running(): readonly RunningAttempt[] {
    return this.#attempts.running()
  }

  resetAsked(taskId: string, fence: number): void {
    this.#attempts.resetAsked(taskId, fence)
  }

  compactAsked(taskId: string, fence: number): void {
    this.#attempts.compactAsked(taskId, fence)
  }

  /** The inbox has room again. */
  resume(): void {
    if (!this.#paused || this.#resumeTimer !== undefined) return
    this.#paused = false
    this.#pulseOnData = true // It may have spoken while we did not listen.
    this.#parse()
    if (!this.#paused && this.#state === 'open') this.#options.stream.resume()
  }

  /** The process is dead: what it still said is read without regard to its rate, within the pipe's own bound. */
  finish(): void {
    if (this.#state !== 'open') return
    this.#state = 'final'
    clearTimeout(this.#resumeTimer)
    this.#paused = false
    this.#parse()
    this.#options.stream.resume()
  }

  close(): void {
    this.#state = 'closed'
    clearTimeout(this.#resumeTimer)
    this.#reader = new FrameReader()
    this.#outbox = []
    this.#options.stream.destroy()
  }

  /** Called once a second, so that a pause of our own counts as one second, not as its length. */
  everySecond(): void {
    const heldBytes = this.#paused ? 0 : this.#reader.heldBytes
    const isHeld = heldBytes > 0 && heldBytes === this.#heldBytes
    this.#heldSeconds = isHeld ? this.#heldSeconds + 1 : 0
    this.#heldBytes = heldBytes
    if (this.#heldSeconds >= limits.halfFrameSeconds)
      this.#violate(`stopped in the middle of a frame after ${heldBytes} bytes`)
  }

  #flush(): void {
    const text = this.#outbox.join('')
    this.#outbox = []
    this.#outboxBytes = 0
    if (this.#state === 'open' && this.#options.stream.writable) this.#options.stream.write(text)
  }

  #receive(chunk: Buffer): void {
    if (this.#state === 'closed') return
    this.#reader.push(chunk)
    if (!this.#paused) this.#parse()
  }

  #parse(): void {
    this.#countSeconds()
    while (this.#state !== 'closed' && this.#mayRead()) {
      const decoded = this.#reader.next()
      if (decoded === null) return
      if (decoded.ok) this.#read(decoded.value, this.#reader.lineBytes)
      else this.#violate(`sent what is not a frame: ${decoded.reason}`)
    }
  }

  #read(value: Readonly<Record<string, unknown>>, lineBytes: number): void {
    const parsed = parseFrame(value)
    if (!parsed.ok) return this.#violate(`sent a frame that breaks the protocol: ${parsed.reason}`)
    const { frame } = parsed
    const broken = this.#greet(frame) ?? oversize(frame, lineBytes)
    if (broken !== null) return this.#violate(broken)
    if (this.#admit(frame)) this.#deliver(frame)
  }

  /** Who speaks first must say which protocol. */
  #greet(frame: AgentFrame): string | null {
    if (this.#greeted) return frame.type === 'hello' ? 'said hello twice' : null
    this.#greeted = true
    if (frame.type !== 'hello') return `began with "${frame.type}" instead of "hello"`
    if (frame.protocol === protocolVersion) return null
    return `speaks protocol ${frame.protocol}, this Prunella speaks ${protocolVersion}: use the client that came with it`
  }

  /** Counts the frame; false when nobody asked for it. */
  #admit(frame: AgentFrame): boolean {
    if (!('fence' in frame)) {
      this.#unsolicited += frame.type === 'log' ? logWeight : 1
      return true
    }
    const verdict = this.#attempts.accept(frame)
    if (verdict === 'too_many_calls') this.#violate(`has too many calls open in task ${frame.task}`)
    if (verdict === 'stray') {
      this.strays += 1
      this.#unsolicited += 1
    } else if (isWork(frame.type)) {
      this.#attemptFrames += 1
    }
    return verdict === 'expected'
  }

  #deliver(frame: AgentFrame): void {
    const { subject, inbox, clock, redact, onLog, onReady } = this.#options
    const atMs = clock.nowMs()
    if (this.#pulseOnData) {
      this.#pulseOnData = false
      inbox.push({ ...subject, kind: 'pulse', lagMs: 0, atMs })
    }
    if (frame.type === 'log') {
      this.#logs += 1
      if (this.#logs <= limits.logLinesPerSecond) onLog(frame.level, frame.message)
    }
    if (frame.type === 'ready') onReady()
    const observation = toObservation(frame, subject, atMs, redact)
    if (observation !== null) inbox.push(observation)
  }

  /** Whether one more frame may be read now. If not, reading goes on by itself later. */
  #mayRead(): boolean {
    if (this.#state === 'final') return true
    if (this.#paused) return false
    if (this.#options.inbox.full) {
      this.#pause() // Until `resume`.
      return false
    }
    const isFlood = this.#unsolicited >= limits.unsolicitedFramesPerSecond
    if (!isFlood && this.#attemptFrames < limits.attemptFramesPerSecond) return true
    if (isFlood && !this.#isFlooded) {
      this.#isFlooded = true
      this.#floodedSeconds += 1
    }
    if (this.#floodedSeconds >= limits.floodSeconds) {
      this.#violate(
        `sent more than ${limits.unsolicitedFramesPerSecond} frames a second that nobody asked for, for ${limits.floodSeconds} s`,
      )
      return false
    }
    this.#pause()
    const leftMs = Math.max(1, Math.ceil(this.#secondMs + 1_000 - this.#options.clock.nowMs()))
    this.#resumeTimer = setTimeout(() => {
      this.#resumeTimer = undefined
      this.resume()
    }, leftMs)
    return false
  }

  #countSeconds(): void {
    const passedMs = this.#options.clock.nowMs() - this.#secondMs
    if (passedMs < 1_000) return
    if (!this.#isFlooded) this.#floodedSeconds = 0
    this.#isFlooded = false
    this.#secondMs += passedMs
    this.#unsolicited = 0
    this.#attemptFrames = 0
    this.#logs = 0
  }

  #pause(): void {
    this.#paused = true
    this.#options.stream.pause()
  }

  #violate(reason: string): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    clearTimeout(this.#resumeTimer)
    this.#reader = new FrameReader()
    this.#outbox = []
    this.#options.stream.pause() // Not destroyed: a host that sees its end would exit before it is judged.
    const { subject, inbox, clock, redact } = this.#options
    inbox.push({ ...subject, kind: 'violation', reason: redact(reason), atMs: clock.nowMs() })
  }
}

/** What a running attempt may say as often as it likes; everything else of an attempt has its credit. */
function isWork(type: AgentFrame['type']): boolean {
  switch (type) {
    case 'call_started':
    case 'call_ended':
    case 'progress':
    case 'model_called':
    case 'user_turn':
      return true
    default:
      return false
  }
}

/** Only a frame above the payload limit is measured: measuring costs a second encoding. */
function oversize(frame: AgentFrame, lineBytes: number): string | null {
  if (lineBytes <= limits.payloadBytes) return null
  const payload = frame.type === 'done' ? frame.output : frame.type === 'call_ended' ? frame.result : undefined
  if (payload === undefined || Buffer.byteLength(JSON.stringify(payload)) <= limits.payloadBytes) return null
  return `sent a result above ${limits.payloadBytes} bytes (PRUNELLA_TOO_LARGE)`
}
