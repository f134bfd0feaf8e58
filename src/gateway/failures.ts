import { createHash } from 'node:crypto'
import type { Clock } from '../port/clock.ts'

/** A client that asks the same so soon after a failure asks again: the longest pause of the providers' own clients is 8 s. */
const rememberedMs = 60_000
const failuresKept = 64

/**
 * The newest failed calls of one client, by their bodies: libraries retry by
 * themselves, and those retries come out of the same budget as ours.
 */
export class Failures {
  readonly #clock: Clock
  readonly #atMs = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  has(body: Uint8Array): boolean {
    if (this.#atMs.size === 0) return false
    const atMs = this.#atMs.get(printOf(body))
    return atMs !== undefined && this.#clock.nowMs() - atMs < rememberedMs
  }

  note(body: Uint8Array): void {
    const print = printOf(body)
    this.#atMs.delete(print)
    this.#atMs.set(print, this.#clock.nowMs())
    for (const oldest of this.#atMs.keys()) {
      if (this.#atMs.size <= failuresKept) break
      this.#atMs.delete(oldest)
    }
  }

  forget(body: Uint8Array): void {
    if (this.#atMs.size > 0) this.#atMs.delete(printOf(body))
  }
}

function printOf(body: Uint8Array): string {
  return createHash('sha1').update(body).digest('base64')
}
