import type { Clock } from '../port/clock.ts'

interface Deadline {
  readonly atMs: number
  readonly fire: () => void
}

/** How exactly a deadline is kept, ms: one look for all calls is cheaper than a timer for each. */
const everyMs = 50

/** Deadlines of calls. Moving one costs a write into a map, so that each chunk of each stream may do it. */
export class Deadlines {
  readonly #clock: Clock
  readonly #open = new Map<object, Deadline>()
  readonly #closed = new AbortController()
  #isLooking = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Replaces the one that `owner` has. `fire` is called once, at `atMs` or up to 50 ms later. */
  set(owner: object, atMs: number, fire: () => void): void {
    this.#open.set(owner, { atMs, fire })
    if (!this.#isLooking) void this.#look()
  }

  clear(owner: object): void {
    this.#open.delete(owner)
  }

  close(): void {
    this.#open.clear()
    this.#closed.abort()
  }

  async #look(): Promise<void> {
    this.#isLooking = true
    while (this.#open.size > 0) {
      await this.#clock.sleepUntil(this.#clock.nowMs() + everyMs, this.#closed.signal)
      const nowMs = this.#clock.nowMs()
      for (const [owner, { atMs, fire }] of this.#open) {
        if (nowMs < atMs) continue
        this.#open.delete(owner)
        fire()
      }
    }
    this.#isLooking = false
  }
}
