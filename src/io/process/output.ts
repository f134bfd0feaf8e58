import { limits } from '../../model/limits.ts'

/**
 * Cuts an agent's output into lines, with limits:
 *
 * | what | limit | beyond it |
 * | --- | --- | --- |
 * | one line | `logLineBytes` | the rest of the line is cut |
 * | lines a second | `logLinesPerSecond` | bytes are counted and said once, not kept |
 * | bytes a second | `outputBytesPerSecond` | reading stops for the rest of the second |
 *
 * Lines over the limit are read and thrown away rather than left in the pipe:
 * Node writes to pipes synchronously, so an agent that logs too much would
 * block, and be judged unresponsive for it.
 */
export interface LineReader {
  push(chunk: Buffer): void
  /** What was left without a newline. */
  end(): void
  /** The newest bytes, as text. */
  tail(): string
}

export interface LineReaderOptions {
  readonly nowMs: () => number
  readonly onLine: (text: string) => void
  /** Too much this second: stop reading until `untilMs`. */
  readonly onFlood: (untilMs: number) => void
  readonly tailBytes: number
}

const newline = 0x0a

export function createLineReader({ nowMs, onLine, onFlood, tailBytes }: LineReaderOptions): LineReader {
  let tail = Buffer.alloc(0)
  let line: Buffer[] = []
  let lineBytes = 0
  let secondMs = Number.NEGATIVE_INFINITY
  let lines = 0
  let bytes = 0
  let dropped = 0

  function startSecond(): void {
    const atMs = nowMs()
    if (atMs - secondMs < 1_000) return
    secondMs = atMs
    lines = 0
    bytes = 0
    if (dropped === 0) return
    onLine(`[${dropped} bytes of output were not kept: more than ${limits.logLinesPerSecond} lines a second]`)
    dropped = 0
  }

  function add(part: Buffer): void {
    const room = limits.logLineBytes - lineBytes
    if (room > 0) line.push(part.subarray(0, room))
    lineBytes += part.length
  }

  function finishLine(): void {
    const text = Buffer.concat(line).toString('utf8')
    const cut = lineBytes - limits.logLineBytes
    line = []
    lineBytes = 0
    lines += 1
    onLine(cut > 0 ? `${text} [${cut} bytes cut]` : text)
  }

  return {
    push(chunk) {
      tail = Buffer.concat([tail.subarray(-tailBytes), chunk.subarray(-tailBytes)]).subarray(-tailBytes)
      startSecond()
      bytes += chunk.length
      let from = 0
      while (lines < limits.logLinesPerSecond) {
        const end = chunk.indexOf(newline, from)
        if (end === -1) break
        add(chunk.subarray(from, end))
        finishLine()
        from = end + 1
      }
      if (lines < limits.logLinesPerSecond) add(chunk.subarray(from))
      else dropped += chunk.length - from
      if (bytes > limits.outputBytesPerSecond) onFlood(secondMs + 1_000)
    },
    end() {
      if (lineBytes > 0) finishLine()
      secondMs = Number.NEGATIVE_INFINITY
      startSecond()
    },
    tail: () => tail.toString('utf8'),
  }
}
