import { isDeeperThan } from '../model/json.ts'
import { limits } from '../model/limits.ts'

/** A frame's fields, not yet checked; or why the other side broke the protocol. */
export type Decoded =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly reason: string }

const newline = 0x0a
/** A buffer that held a longer line than this is given back, so that one large frame is not paid for for ever. */
const keptBytes = 64 * 1024
const replacement = '\ufffd'
const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Cuts chunks into lines and lines into frames, for both ends of the channel.
 * Whoever reads decides the pace: `push` what arrived, then call `next` until it
 * answers null; what was not asked for waits inside.
 *
 * I1. Never throws, whatever the bytes are. The first violation is the last answer.
 * I2. Holds at most one line below `limits.frameBytes` besides the chunks pushed.
 * I3. Each byte is looked at once and copied at most twice, however it was chunked.
 */
export class FrameReader {
  readonly #depthMax: number
  readonly #chunks: Buffer[] = []
  /** Where in the first chunk the next line begins. */
  #at = 0
  /** The line begun in earlier chunks: the first `#heldBytes` of this. */
  #held: Buffer = Buffer.alloc(0)
  #heldBytes = 0
  #lineBytes = 0
  #violation: Decoded | null = null

  /** @param depthMax  Nesting of a frame. The agent's end allows more: what it reads was nested anew by the supervisor. */
  constructor(depthMax: number = limits.jsonDepth) {
    this.#depthMax = depthMax
  }

  /** Bytes of a line that was begun and not ended, once `next` has answered null. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Bytes of the frame that `next` answered last, without its newline. */
  get lineBytes(): number {
    return this.#lineBytes
  }

  push(chunk: Buffer): void {
    if (this.#violation === null && chunk.length > 0) this.#chunks.push(chunk)
  }

  /** The next frame, a violation, or null when more bytes are needed. */
  next(): Decoded | null {
    for (;;) {
      const chunk = this.#chunks[0]
      if (this.#violation !== null || chunk === undefined) return this.#violation
      const from = this.#at
      const end = chunk.indexOf(newline, from)
      const part = end === -1 ? chunk.subarray(from) : chunk.subarray(from, end)
      this.#at = end + 1
      if (end === -1 || this.#at === chunk.length) {
        this.#chunks.shift()
        this.#at = 0
      }
      if (this.#heldBytes + part.length >= limits.frameBytes) {
        return this.#violate(`more than ${limits.frameBytes} bytes in one line`)
      }
      if (end === -1) this.#hold(part)
      else return this.#decode(this.#heldBytes === 0 ? part : this.#take(part))
    }
  }

  #hold(part: Buffer): void {
    const bytes = this.#heldBytes + part.length
    if (bytes > this.#held.length) {
      const larger = Buffer.allocUnsafe(Math.min(limits.frameBytes, Math.max(bytes, 2 * this.#held.length, 1024)))
      this.#held.copy(larger, 0, 0, this.#heldBytes)
      this.#held = larger
    }
    part.copy(this.#held, this.#heldBytes)
    this.#heldBytes = bytes
  }

  /** The held line with its last part. Valid until the next `push`. */
  #take(part: Buffer): Buffer {
    this.#hold(part)
    const line = this.#held.subarray(0, this.#heldBytes)
    this.#heldBytes = 0
    if (this.#held.length > keptBytes) this.#held = Buffer.alloc(0)
    return line
  }

  #decode(line: Buffer): Decoded {
    this.#lineBytes = line.length
    const decoded = decodeLine(line, this.#depthMax)
    return decoded.ok ? decoded : this.#violate(decoded.reason)
  }

  #violate(reason: string): Decoded {
    this.#violation = { ok: false, reason }
    this.#chunks.length = 0
    this.#held = Buffer.alloc(0)
    this.#heldBytes = 0
    return this.#violation
  }
}

/** One line without its newline. */
export function decodeLine(line: Buffer, depthMax: number = limits.jsonDepth): Decoded {
  // Nesting of n levels takes 2n bytes. Checked before parsing: recursive readers of the value overflow their stack.
  if (line.length > 2 * depthMax && isDeeperThan(depthMax, line)) return violation(`deeper than ${depthMax} levels`)
  const text = line.toString('utf8')
  // Invalid bytes become U+FFFD, which may also have been sent as such.
  if (text.includes(replacement) && !isUtf8(line)) return violation('not UTF-8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return violation(`not JSON: ${JSON.stringify(text.slice(0, 80))}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return violation('not a JSON object')
  return { ok: true, value: value as Record<string, unknown> }
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    strictUtf8.decode(bytes)
    return true
  } catch {
    return false
  }
}

function violation(reason: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason }
}
