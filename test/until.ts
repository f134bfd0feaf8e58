import { setTimeout as sleep } from 'node:timers/promises'

export interface UntilOptions {
  readonly timeoutMs: number
  /** What is waited for, as it reads after "waited for". */
  readonly what: string
  readonly everyMs?: number
}

/**
 * Polls until `condition` returns something truthy, and returns that. This is
 * how a test waits for the world: a sleep is too short on a busy machine and
 * too long on every other. A condition that throws counts as not yet.
 *
 * @throws Error after `timeoutMs`, naming what was waited for and what was seen last.
 */
export async function until<T>(condition: () => T | Promise<T>, options: UntilOptions): Promise<NonNullable<T>> {
  const { timeoutMs, what, everyMs = 10 } = options
  const endMs = performance.now() + timeoutMs
  for (;;) {
    let seen: string
    let cause: unknown
    try {
      const value: T = await condition()
      if (value) return value
      seen = `last seen: ${String(value)}`
    } catch (error) {
      seen = `the last look failed: ${String(error)}`
      cause = error
    }
    if (performance.now() >= endMs) throw new Error(`Waited ${timeoutMs} ms for ${what}; ${seen}.`, { cause })
    await sleep(everyMs)
  }
}
