import { limits } from '../model/limits.ts'
import type { Observation } from '../model/observation.ts'
import type { Inbox } from '../port/inbox.ts'

/** The inbox as its one reader, the tick, sees it. */
export interface TickInbox extends Inbox {
  /** The oldest observations, at most `limits.observationsPerTick`. */
  drain(): readonly Observation[]
  readonly length: number
  /** What was not drained yet, oldest first. */
  waiting(): Iterable<Observation>
  /** Called when something arrives in an empty inbox. One listener: the loop. */
  onArrival(listener: () => void): void
}

/** Bounded by its writers: who can stop reading asks `full` first. What cannot be refused (an exit) is always taken. */
export function createInbox(): TickInbox {
  let waiting: Observation[] = []
  let taken = 0
  let wasFull = false
  let arrival: (() => void) | null = null
  const drains: (() => void)[] = []
  return {
    push(observation) {
      const empty = waiting.length === taken
      waiting.push(observation)
      if (waiting.length - taken >= limits.inboxLength) wasFull = true
      if (empty) arrival?.()
    },
    get full() {
      return waiting.length - taken >= limits.inboxLength
    },
    get length() {
      return waiting.length - taken
    },
    *waiting() {
      for (let at = taken; at < waiting.length; at++) {
        const one = waiting[at]
        if (one !== undefined) yield one
      }
    },
    onDrain(listener) {
      drains.push(listener)
    },
    onArrival(listener) {
      arrival = listener
    },
    drain() {
      const end = Math.min(waiting.length, taken + limits.observationsPerTick)
      const some = taken === 0 && end === waiting.length ? waiting : waiting.slice(taken, end)
      if (end === waiting.length) {
        waiting = []
        taken = 0
      } else {
        taken = end
      }
      if (wasFull && waiting.length - taken < limits.inboxLength / 2) {
        wasFull = false
        for (const listener of drains) listener()
      }
      return some
    },
  }
}
