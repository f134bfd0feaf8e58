import type { Clock } from '../../src/port/clock.ts'

interface Entry {
  readonly atMs: number
  readonly order: number
  readonly fire: () => void
}

/** Simulated time: a heap of what happens when. Equal times happen in the order in which they were asked for. */
export class SimClock implements Clock {
  private readonly heap: Entry[] = []
  private timeMs: number
  private orders = 0

  constructor(startMs: number) {
    this.timeMs = startMs
  }

  nowMs(): number {
    return this.timeMs
  }

  at(atMs: number, fire: () => void): void {
    const entry = { atMs: Math.max(atMs, this.timeMs), order: this.orders++, fire }
    let at = this.heap.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = this.heap[parent]!
      if (!isBefore(entry, above)) break
      this.heap[at] = above
      at = parent
    }
    this.heap[at] = entry
  }

  after(delayMs: number, fire: () => void): void {
    this.at(this.timeMs + delayMs, fire)
  }

  sleepUntil(atMs: number, signal: AbortSignal): Promise<void> {
    if (atMs <= this.timeMs || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true })
      this.at(atMs, resolve)
    })
  }

  /** When something next happens, or Infinity. */
  get nextMs(): number {
    return this.heap[0]?.atMs ?? Number.POSITIVE_INFINITY
  }

  /** Goes to `atMs`, which nothing precedes, and lets everything of that instant happen. */
  advanceTo(atMs: number): void {
    if (atMs > this.timeMs) this.timeMs = atMs
    while (this.nextMs <= this.timeMs) this.pop().fire()
  }

  private pop(): Entry {
    const { heap } = this
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
