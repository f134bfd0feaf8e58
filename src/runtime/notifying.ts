import type { Change } from '../model/change.ts'
import { limits } from '../model/limits.ts'
import type { Notification, OutboxRow, OutboxWrite } from '../model/notification.ts'
import type { BackoffSpec } from '../model/pool.ts'
import { backoffMs } from '../policy/backoff.ts'
import type { Clock } from '../port/clock.ts'
import type { Log } from '../port/log.ts'
import type { Meter } from '../port/meter.ts'
import type { Notifier, SendOutcome } from '../port/notifier.ts'
import type { Random } from '../port/random.ts'
import type { Store } from '../port/store.ts'
import type { Teller } from './telling.ts'

/** Full jitter: a receiver that comes back is not met by everybody at once. */
const pauses: BackoffSpec = { baseMs: 1_000, factor: 2, maxMs: 300_000, jitter: 1 }
/** How soon a store that failed is asked again, ms. */
const storeAgainMs = 1_000

export interface CourierParts {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly meter: Meter
  readonly log: Log
  readonly teller: Teller
}

/**
 * Carries what waits in the outbox to one notifier: in order, one at a time, in
 * a loop of its own, so that one which is down delays nobody else.
 *
 * N1. A row goes only after the notifier's answer, so nothing is lost; a crash
 *     in between sends it again under the same id.
 * N2. The head is tried until it is sent, refused or given up: no later one overtakes it.
 */
export class Courier {
  private readonly notifier: Notifier
  /** Why the last try failed, or null when it did not. */
  trouble: string | null = null
  private depth = 0
  private readonly parts: CourierParts
  /** Outcomes that the store did not take: written before anything else is sent. */
  private unwritten: Change[] = []
  /** Failures in a row of what is told from memory, and when the next try may be. */
  private memoryTries = 0
  private memoryAtMs = 0
  private wake: AbortController | null = null
  private isRung = false

  constructor(notifier: Notifier, parts: CourierParts) {
    this.notifier = notifier
    this.parts = parts
  }

  /** For people, while the notifier is not reached. */
  get complaint(): string | null {
    if (this.trouble === null) return null
    return `notifier ${this.notifier.name} failed (${this.trouble}); ${this.depth} notification(s) wait`
  }

  /** There is something new. */
  ring(): void {
    this.isRung = true
    this.wake?.abort()
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.isRung = false
      const againAtMs = await this.turn(signal)
      await this.rest(againAtMs, signal)
    }
  }

  private async rest(untilMs: number, signal: AbortSignal): Promise<void> {
    if (this.isRung) return
    this.wake = new AbortController()
    await this.parts.clock.sleepUntil(untilMs, AbortSignal.any([this.wake.signal, signal]))
    this.wake = null
  }

  /** Sends what is due. Returns when it next wants to look without news, clock ms. */
  private async turn(signal: AbortSignal): Promise<number> {
    const { clock, log } = this.parts
    try {
      const memoryAgainMs = await this.fromMemory(signal)
      await this.settle([])
      return Math.min(memoryAgainMs, await this.fromOutbox(signal))
    } catch (error) {
      // The supervisor says loudly that the store fails; here it only means later.
      log.warn({ notifier: this.notifier.name, error: String(error) }, 'the outbox cannot be used now')
      return clock.nowMs() + storeAgainMs
    }
  }

  private async fromOutbox(signal: AbortSignal): Promise<number> {
    const { store, clock, teller } = this.parts
    const { name } = this.notifier
    for (;;) {
      const { rows, depth, dropped } = await store.outbox(name, limits.outboxPage)
      this.counted(depth)
      if (dropped > 0) {
        const againAtMs = await this.tell(teller.owningUp(name, dropped, clock.nowMs()), signal)
        if (againAtMs !== null) return againAtMs
        await this.settle([{ do: 'own_up', notifier: name, count: dropped }])
      }
      for (const row of rows) {
        const againAtMs = await this.deliver(row, signal)
        if (againAtMs !== null) return againAtMs // N2.
      }
      if (rows.length < limits.outboxPage) return Number.POSITIVE_INFINITY
    }
  }

  /** Null when the row is done with, else when it may be tried again. */
  private async deliver(row: OutboxRow, signal: AbortSignal): Promise<number | null> {
    const { clock } = this.parts
    if (row.retryAtMs > clock.nowMs()) return row.retryAtMs
    const outcome = await this.send(row.notification, signal)
    if (signal.aborted) return Number.POSITIVE_INFINITY // N1: nobody knows whether it arrived.
    const tries = row.tries + 1
    if (this.isDone(row.notification, outcome, tries)) {
      await this.settle([{ do: 'remove', seq: row.seq }])
      this.counted(this.depth - 1)
      return null
    }
    const retryAtMs = this.againAtMs(row.tries)
    await this.settle([{ do: 'postpone', seq: row.seq, tries, retryAtMs }])
    return retryAtMs
  }

  /** What the store cannot hold now. Returns when to try again. */
  private async fromMemory(signal: AbortSignal): Promise<number> {
    const { teller } = this.parts
    const { name } = this.notifier
    for (let next = teller.pressing(name); next !== null; next = teller.pressing(name)) {
      const againAtMs = await this.tell(next, signal)
      if (againAtMs !== null) return againAtMs
      teller.release(name, next.id)
    }
    return Number.POSITIVE_INFINITY
  }

  /** As `deliver`, for what is no row. */
  private async tell(notification: Notification, signal: AbortSignal): Promise<number | null> {
    if (this.memoryAtMs > this.parts.clock.nowMs()) return this.memoryAtMs
    const outcome = await this.send(notification, signal)
    if (signal.aborted) return Number.POSITIVE_INFINITY
    this.memoryTries += 1
    if (this.isDone(notification, outcome, this.memoryTries)) {
      this.memoryTries = 0
      return null
    }
    this.memoryAtMs = this.againAtMs(this.memoryTries - 1)
    return this.memoryAtMs
  }

  private againAtMs(failures: number): number {
    const { clock, random } = this.parts
    return clock.nowMs() + backoffMs(failures, pauses, random.next())
  }

  /** Counts and says how a try ended. */
  private isDone(notification: Notification, outcome: SendOutcome, tries: number): boolean {
    const { meter, log } = this.parts
    const { name, kind } = this.notifier
    const ended = (outcome: 'sent' | 'retried' | 'rejected' | 'given_up'): boolean => {
      meter.count('prunella_notifications_total', { kind, outcome })
      return outcome !== 'retried'
    }
    if (outcome === 'sent') {
      this.trouble = null
      return ended('sent')
    }
    const facts = { notifier: name, notification: notification.id, tries }
    this.trouble = 'retry' in outcome ? outcome.retry : outcome.rejected
    if ('rejected' in outcome) {
      log.error(facts, `notifier ${name} refuses "${notification.title}": ${this.trouble}`)
      return ended('rejected')
    }
    if (tries >= limits.notificationTries) {
      log.error(facts, `notifier ${name}: gave up on "${notification.title}" after ${tries} tries: ${this.trouble}`)
      return ended('given_up')
    }
    if (tries === 1) log.warn(facts, `notifier ${name} is not reached, it is tried again: ${this.trouble}`)
    return ended('retried')
  }

  /** Within its time, whatever the notifier does: one that ignores the signal is left behind. */
  private async send(notification: Notification, signal: AbortSignal): Promise<SendOutcome> {
    const { clock } = this.parts
    const { timeoutMs } = this.notifier
    const cut = new AbortController()
    const over = AbortSignal.any([cut.signal, signal])
    const late = clock
      .sleepUntil(clock.nowMs() + timeoutMs, over)
      .then((): SendOutcome => ({ retry: `no answer within ${timeoutMs} ms` }))
    try {
      return await Promise.race([this.notifier.send(notification, over), late])
    } catch (error) {
      return { retry: error instanceof Error ? error.message : String(error) }
    } finally {
      cut.abort()
    }
  }

  private async settle(writes: readonly OutboxWrite[]): Promise<void> {
    const { store, clock } = this.parts
    this.unwritten.push(...writes.map((write): Change => ({ kind: 'outbox', write })))
    if (this.unwritten.length === 0) return
    await store.commit({ nowMs: clock.nowMs(), decisions: [this.unwritten], claims: [] })
    this.unwritten = []
  }

  private counted(depth: number): void {
    this.depth = depth
    this.parts.meter.gauge('prunella_notifications_waiting', { notifier: this.notifier.name }, depth)
  }
}
