import { readFileSync } from 'node:fs'
import type { Clock } from '../port/clock.ts'

/** The longest single timer: after a suspend, timers still owe what they had left, so this bounds how late we wake. */
const longestTimerMs = 1_000
/** How often boot time is compared with the monotonic clock. Reading it costs 20 µs. */
const compareEveryMs = 100
/** Boot time has a grain of 10 ms; a smaller difference is not a pause. */
const grainMs = 50

export interface ClockSources {
  /** Wall clock, ms since 1970. Read once. */
  readonly wallMs: () => number
  /** Never goes back; stops while the machine is suspended. */
  readonly monotonicMs: () => number
  /** Never goes back; goes on while the machine is suspended. Null where the platform does not tell. */
  readonly bootMs: () => number | null
}

/** @returns ms since boot with the time in suspend, from `/proc/uptime`; null where there is no such file. */
export function readBootMs(): number | null {
  try {
    return Number.parseFloat(readFileSync('/proc/uptime', 'latin1')) * 1_000
  } catch {
    return null
  }
}

const system: ClockSources = { wallMs: Date.now, monotonicMs: () => performance.now(), bootMs: readBootMs }

export function createClock(sources: ClockSources = system): Clock {
  const startWallMs = sources.wallMs()
  const startMonotonicMs = sources.monotonicMs()
  const startBootMs = sources.bootMs()
  let suspendedMs = 0
  let comparedMs = startMonotonicMs

  function nowMs(): number {
    const monotonicMs = sources.monotonicMs()
    if (startBootMs !== null && monotonicMs - comparedMs >= compareEveryMs) {
      comparedMs = monotonicMs
      const missedMs = (sources.bootMs() ?? startBootMs) - startBootMs - (monotonicMs - startMonotonicMs)
      if (missedMs - suspendedMs > grainMs) suspendedMs = missedMs
    }
    return startWallMs + (monotonicMs - startMonotonicMs) + suspendedMs
  }

  return {
    nowMs,
    async sleepUntil(atMs, signal) {
      for (let leftMs = atMs - nowMs(); leftMs > 0 && !signal.aborted; leftMs = atMs - nowMs()) {
        await wait(Math.min(Math.ceil(leftMs), longestTimerMs), signal)
      }
    },
  }
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const timer = setTimeout(finish, ms)
    signal.addEventListener('abort', finish, { once: true })
  })
}
