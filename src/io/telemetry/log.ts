import { destination, type Logger, pino, stdSerializers } from 'pino'
import { createRedact, stripControls } from '../../model/redact.ts'
import type { Log } from '../../port/log.ts'

export interface LogOptions {
  /** Values that must never be written. */
  readonly secrets: readonly string[]
  /** Aligned lines for people instead of JSON. Default: whether standard error is a terminal. */
  readonly pretty?: boolean
  /** Colours in pretty lines. Default: on a terminal, unless NO_COLOR is set. */
  readonly colour?: boolean
  /** Where lines go, each with its line end. Default: standard error, synchronously, so that a crash loses none. */
  readonly write?: (line: string) => void
}

/** A JSON line reaches this many bytes; what is beyond is cut: facts come from agents. */
const lineLengthMax = 16 * 1024

const levelNames: Readonly<Record<number, string>> = { 30: 'info', 40: 'warn', 50: 'error' }
const levelColours: Readonly<Record<number, string>> = { 30: '36', 40: '33', 50: '31' }

/** Structured lines on standard error, redacted as text: a secret is found wherever it stands. */
export function createLog(options: LogOptions): Log {
  const redact = createRedact(options.secrets)
  const write = options.write ?? standardError()
  const pretty = options.pretty ?? process.stderr.isTTY === true
  const colour = options.colour ?? (process.stderr.isTTY === true && process.stderr.hasColors())
  const sink = {
    write: (line: string) => {
      const clean = redact(line.trimEnd())
      write(`${pretty ? prettyLine(clean, colour) : bounded(clean)}\n`)
    },
  }
  const logger = pino(
    { base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { error: stdSerializers.err } },
    sink,
  )
  return asLog(logger)
}

function asLog(logger: Logger): Log {
  return {
    info: (facts, message) => logger.info(facts, message),
    warn: (facts, message) => logger.warn(facts, message),
    error: (facts, message) => logger.error(facts, message),
  }
}

function standardError(): (line: string) => void {
  const stream = destination({ dest: 2, sync: true })
  // A closed pipe (`prunella up 2>&1 | head`) must not end the supervisor.
  stream.on('error', () => undefined)
  return (line) => {
    stream.write(line)
  }
}

/** A line that is too long stays one JSON object: its facts are left out. */
function bounded(line: string): string {
  if (line.length <= lineLengthMax) return line
  const entry = parse(line)
  if (entry === null) return JSON.stringify({ level: 50, msg: line.slice(0, lineLengthMax / 2) })
  return JSON.stringify({
    level: entry.level,
    time: entry.time,
    msg: String(entry.msg).slice(0, lineLengthMax / 2),
    cut: line.length,
  })
}

/** `12:00:01 warn  message  pool=support strike=2`, one line whatever the facts hold. */
function prettyLine(line: string, colour: boolean): string {
  const entry = parse(line)
  if (entry === null) return stripControls(line)
  const { level, time, msg, ...facts } = entry
  const paint = (code: string | undefined, text: string) =>
    colour && code !== undefined ? `\u001b[${code}m${text}\u001b[0m` : text
  const name = (levelNames[Number(level)] ?? 'info').padEnd(5)
  const clock = /T(\d\d:\d\d:\d\d)/.exec(String(time))?.[1] ?? ''
  const tail = Object.entries(facts).map(([key, value]) => `${key}=${oneLine(value)}`)
  return [paint('2', clock), paint(levelColours[Number(level)], name), flat(String(msg)), paint('2', tail.join(' '))]
    .join(' ')
    .trimEnd()
}

function oneLine(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'stack' in value && 'message' in value)
    return flat(String(value.message))
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  const shown = flat(text)
  return typeof value === 'string' && /[\s="]/.test(shown) ? JSON.stringify(shown) : shown
}

function flat(text: string): string {
  const line = stripControls(text.replace(/\s*[\r\n]+\s*/g, ' ⏎ '))
  return line.length > 500 ? `${line.slice(0, 499)}…` : line
}

function parse(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? { ...value } : null
  } catch {
    // Redaction may have bitten into the JSON's own quotes: the text is still worth writing.
    return null
  }
}
