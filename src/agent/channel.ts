import type { Socket } from 'node:net'
import { PrunellaError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import { FrameReader } from '../protocol/decode.ts'
import { encode } from '../protocol/encode.ts'
import type { AgentFrame, SupervisorFrame } from '../protocol/frames.ts'
import { toSupervisorFrame } from './supervisor-frame.ts'

/** The channel's end in every agent process, opened by the supervisor. */
const channelFd = 3
/** The supervisor nests what we sent it once more: journal, steps, step. */
const depthMax = limits.jsonDepth + 4
/** The first frame is a few hundred bytes. */
const firstReadBytes = 4 * 1024
/** Beyond this a turn's frames are written before it ends. */
const outboxLength = 64 * 1024

export interface ChannelEvents {
  frame(frame: SupervisorFrame): void
  /** Everything that had arrived has been read. */
  idle(): void
  closed(): void
}

/** The agent's end of the channel. Frames of one turn of the event loop go out in one write. */
export class Channel {
  readonly #socket: Socket
  readonly #events: ChannelEvents
  readonly #reader = new FrameReader(depthMax)
  #outbox = ''
  #isScheduled = false
  #isClosed = false
  /** The newest progress of each attempt while the supervisor does not read: the older ones say nothing more. */
  readonly #heldProgress = new Map<string, AgentFrame>()
  #waiters: (() => void)[] = []

  constructor(events: ChannelEvents) {
    this.#events = events
    const net = process.getBuiltinModule('node:net') // As in boot.js: an import would load more.
    this.#socket = new net.Socket({ fd: channelFd })
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    this.#socket.on('drain', () => this.#drained())
    this.#socket.on('error', () => undefined) // The supervisor died: `close` follows.
    this.#socket.on('close', () => {
      this.#isClosed = true
      events.closed()
    })
    // `process.exit` and a thrown error skip the end of the turn. What was done must be known all the same.
    process.on('exit', () => this.flush())
  }

  /** True while the supervisor does not read: whoever can wait waits for `drained`, the rest holds back. */
  get isFull(): boolean {
    return this.#socket.writableNeedDrain
  }

  drained(listener: () => void): void {
    if (this.isFull) this.#waiters.push(listener)
    else listener()
  }

  send(frame: AgentFrame): void {
    this.#outbox += encode(frame)
    if (this.#outbox.length > outboxLength) return this.flush()
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  /** May be left out while the supervisor does not read, but for the newest of each attempt. */
  sendProgress(frame: Extract<AgentFrame, { readonly type: 'progress' }>): void {
    if (this.isFull) this.#heldProgress.set(frame.task, frame)
    else this.send(frame)
  }

  /** Writes at once: what follows may block the thread. */
  flush(): void {
    const text = this.#outbox
    if (text === '' || this.#isClosed) return
    this.#outbox = ''
    this.#socket.write(text)
  }

  /** Calls `done` when everything is written. */
  finish(done: () => void): void {
    this.flush()
    this.#socket.end(done)
  }

  /**
   * Reads what waits already. The supervisor has long sent its first frame when this process begins to listen, and
   * the first turn of the event loop, which would read it, is a millisecond away. Only before that turn.
   */
  readWaiting(): void {
    const chunk = Buffer.alloc(firstReadBytes)
    const length = readNow(chunk)
    if (length > 0) this.#receive(chunk.subarray(0, length))
  }

  #receive(chunk: Buffer): void {
    this.#reader.push(chunk)
    for (let read = this.#reader.next(); read !== null; read = this.#reader.next()) {
      if (!read.ok)
        throw new PrunellaError('PRUNELLA_INVALID', `The supervisor sent what is not a frame: ${read.reason}`)
      const frame = toSupervisorFrame(read.value)
      if (frame !== null) this.#events.frame(frame)
    }
    this.#events.idle()
  }

  #drained(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const frame of this.#heldProgress.values()) this.send(frame)
    this.#heldProgress.clear()
    for (const waiter of waiters) waiter()
  }
}

function readNow(chunk: Buffer): number {
  try {
    return process.getBuiltinModule('node:fs').readSync(channelFd, chunk)
  } catch {
    return 0 // Nothing is there yet: opening the socket made reads return at once. Any other error the socket meets too.
  }
}
