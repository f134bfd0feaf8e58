import { text } from 'node:stream/consumers'
import { setInterval as everyMs } from 'node:timers/promises'
import { clientEnvironment } from '../config/client.ts'

/** What a command may touch. Tests give their own. */
export interface Io {
  readonly folder: string
  /** A line on standard output. */
  readonly out: (line: string) => void
  /** A line on standard error. */
  readonly err: (line: string) => void
  /** Replaces the line of progress, or removes it; null where nobody watches. */
  readonly progress: ((line: string | null) => void) | null
  readonly color: boolean
  /** `PRUNELLA_TOKEN`. */
  readonly token: string | null
  readonly readInput: () => Promise<string>
  readonly fetch: typeof fetch
  /** Once a second, until the signal aborts. */
  readonly eachSecond: (signal: AbortSignal) => AsyncIterable<unknown>
  /** Calls back for each SIGINT and SIGTERM, which then end nothing by themselves, and when nobody reads any more. */
  readonly onStop: (listener: () => void) => () => void
}

const stopSignals = ['SIGINT', 'SIGTERM'] as const

/** The real ones. */
export function createIo(): Io {
  const { token, color } = clientEnvironment()
  const { stdout, stderr } = process
  const listeners = new Set<() => void>()
  let isCut = false
  // `prunella tasks | head` closes the pipe before we are done. That is no failure, and a running node drains.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    if (listeners.size === 0) process.exit(0)
    if (!isCut) for (const listener of listeners) listener()
    isCut = true
  })
  process.removeAllListeners('warning') // Node's own printer.
  process.on('warning', (warning) => {
    if (!isTypeless(warning)) stderr.write(`${warning.name}: ${warning.message}\n`)
  })
  return {
    folder: process.cwd(),
    out: (line) => void stdout.write(`${line}\n`),
    err: (line) => void stderr.write(`${line}\n`),
    progress: stderr.isTTY ? (line) => void stderr.write(`\r\u001b[K${line ?? ''}`) : null,
    color: color && stdout.isTTY === true,
    token,
    readInput: () => text(process.stdin),
    fetch,
    eachSecond: (signal) => ticks(signal),
    onStop: (listener) => {
      listeners.add(listener)
      for (const signal of stopSignals) process.on(signal, listener)
      return () => {
        listeners.delete(listener)
        for (const signal of stopSignals) process.off(signal, listener)
      }
    },
  }
}

async function* ticks(signal: AbortSignal): AsyncGenerator<void> {
  try {
    yield* everyMs(1_000, undefined, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** A `prunella.config.ts` in a folder whose package.json says no `type` works, and costs a millisecond once. */
function isTypeless(warning: Error): boolean {
  return 'code' in warning && warning.code === 'MODULE_TYPELESS_PACKAGE_JSON'
}
