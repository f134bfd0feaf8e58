import { limits } from '../model/limits.ts'
import { nowMs } from './clock.ts'
import type { AgentLog } from './definition.ts'

type Level = keyof AgentLog

/** The supervisor counts ten lines as one unasked frame; a tenth of what it allows keeps clear of a violation. */
const linesPerSecond = limits.unsolicitedFramesPerSecond
const levels: readonly Level[] = ['debug', 'info', 'warn', 'error']

/** Lines beyond the limit of a second are counted and said in the next one. */
export function createLog(send: (level: Level, message: string) => void): AgentLog {
  let sinceMs = 0
  let lines = 0
  function write(level: Level, message: string): void {
    if (nowMs() - sinceMs >= 1_000) {
      if (lines > linesPerSecond) send('warn', `${lines - linesPerSecond} log lines were left out.`)
      sinceMs = nowMs()
      lines = 0
    }
    lines += 1
    if (lines <= linesPerSecond) send(level, String(message).slice(0, limits.logLineBytes))
  }
  return Object.fromEntries(
    levels.map((level) => [level, (message: string) => write(level, message)]),
  ) as unknown as AgentLog
}
