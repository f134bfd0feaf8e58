/** One server-sent event, with the bytes it came in. */
export interface SseEvent {
  readonly bytes: Buffer
  /** Null: it has none. */
  readonly name: string | null
  /** Null: nothing but comments. */
  readonly data: string | null
}

const lineFeed = 0x0a
const carriageReturn = 0x0d

/**
 * Cuts a stream into events, each with its own bytes and the empty line behind
 * it, so that what is put together again is what came (WHATWG HTML, 9.2).
 */
export class SseSplitter {
  #parts: Buffer[] = []
  #length = 0
  readonly #most: number

  /** @param most  Bytes of one event. */
  constructor(most: number) {
    this.#most = most
  }

  /** An event that is too long: nothing can be told apart any more. */
  get isTooLong(): boolean {
    return this.#length > this.#most
  }

  /** The end of the last event is missing, or all there is. */
  get rest(): Buffer {
    return Buffer.concat(this.#parts)
  }

  push(chunk: Buffer): SseEvent[] {
    // An end of an event may lie across two chunks: the last bytes of what is there are looked at again.
    const last = this.#parts.at(-1)
    const seam = last === undefined ? 0 : Math.min(3, last.length)
    const look = seam === 0 ? chunk : Buffer.concat([(last as Buffer).subarray(-seam), chunk])
    const ends = endsOf(look).map((end) => end - seam)
    const events: SseEvent[] = []
    let from = 0
    for (const end of ends) {
      if (end <= 0) continue
      const piece = chunk.subarray(from, end)
      const bytes = this.#parts.length === 0 ? piece : Buffer.concat([...this.#parts, piece])
      this.#parts = []
      events.push(parse(bytes))
      from = end
    }
    if (from < chunk.length) this.#parts.push(chunk.subarray(from))
    this.#length = this.#parts.reduce((sum, part) => sum + part.length, 0)
    return events
  }
}

/** Where events end: behind each empty line. */
function endsOf(bytes: Buffer): number[] {
  const ends: number[] = []
  for (let at = 0; at < bytes.length; ) {
    const first = lineEnd(bytes, at)
    if (first === 0) {
      at += 1
      continue
    }
    const second = lineEnd(bytes, at + first)
    at += first
    if (second === 0) continue
    at += second
    ends.push(at)
  }
  return ends
}

/** Length of the line end at this place, 0 where there is none. */
function lineEnd(bytes: Buffer, at: number): number {
  if (bytes[at] === lineFeed) return 1
  if (bytes[at] !== carriageReturn) return 0
  return bytes[at + 1] === lineFeed ? 2 : 1
}

export function parse(bytes: Buffer): SseEvent {
  let name: string | null = null
  let data: string | null = null
  for (const line of bytes.toString('utf8').split(/\r\n|\n|\r/)) {
    const colon = line.indexOf(':')
    if (colon === 0 || line === '') continue
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1))
    if (field === 'event') name = value
    else if (field === 'data') data = data === null ? value : `${data}\n${value}`
  }
  return { bytes, name, data }
}
