import type { Notice } from '../model/event.ts'
import { limits } from '../model/limits.ts'
import type { StreamEvent } from '../port/node.ts'

/** The last `limits.eventsKept` events of this life of the supervisor, and those who listen. */
export class EventLog {
  private readonly epoch: string
  private readonly kept: Notice[] = []
  /** Number of the oldest kept event. */
  private first = 1
  private readonly listeners = new Set<(event: StreamEvent) => void>()

  constructor(epoch: string) {
    this.epoch = epoch
  }

  publish(notice: Notice): void {
    this.kept.push(notice)
    // Trimmed in blocks: shifting one by one would cost a copy each.
    if (this.kept.length >= 2 * limits.eventsKept) {
      this.kept.splice(0, limits.eventsKept)
      this.first += limits.eventsKept
    }
    if (this.listeners.size === 0) return
    const event = { id: `${this.epoch}.${this.first + this.kept.length - 1}`, notice }
    for (const listener of this.listeners) listener(event)
  }

  subscribe(
    lastEventId: string | null,
    listener: (event: StreamEvent) => void,
  ): { readonly missed: boolean; readonly stop: () => void } {
    let missed = false
    if (lastEventId !== null) {
      const [epoch, number] = splitId(lastEventId)
      const from = number + 1
      missed = epoch !== this.epoch || from < this.first || from > this.first + this.kept.length
      if (!missed) {
        for (let at = from - this.first; at < this.kept.length; at++) {
          const notice = this.kept[at]
          if (notice !== undefined) listener({ id: `${this.epoch}.${this.first + at}`, notice })
        }
      }
    }
    this.listeners.add(listener)
    return { missed, stop: () => this.listeners.delete(listener) }
  }
}

function splitId(id: string): readonly [string, number] {
  const dot = id.lastIndexOf('.')
  const number = Number(id.slice(dot + 1))
  return [id.slice(0, dot), Number.isSafeInteger(number) ? number : -1]
}
