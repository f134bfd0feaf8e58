import type { ReplicaName } from '../../model/ids.ts'
import { limits } from '../../model/limits.ts'
import type { ModelFailure } from '../../model/observation.ts'
import type { BackoffSpec } from '../../model/pool.ts'
import { backoffMs, chanceOf } from '../backoff.ts'
import { Concurrency } from './concurrency.ts'
import { LearnedRate, Ramp } from './rate.ts'
import { RetryBudget } from './retry-budget.ts'

export interface GateCall {
  readonly id: number
  readonly replica: ReplicaName
  /** Who cannot be let in before it is told so at once, clock ms. */
  readonly deadlineMs: number
  /** The client asks again for what failed: that comes out of the retry budget. */
  readonly isRepeated: boolean
  /** Sent before, so many times. */
  readonly tries: number
  /** A pause of its own before it is sent again, clock ms. */
  readonly notBeforeMs: number
}

/** What a provider's headers say about one of its limits. */
export interface RateWords {
  readonly remaining: number
  readonly resetMs: number
}

/** How a call ended. `gone`: its client left. */
export type GateAnswer =
  | { readonly kind: 'served'; readonly words?: readonly RateWords[] }
  | { readonly kind: 'gone'; readonly words?: readonly RateWords[] }
  | {
      readonly kind: 'failed'
      readonly failure: ModelFailure
      readonly retryAfterMs: number | null
      readonly words?: readonly RateWords[]
    }

export interface GateStep {
  readonly admitted: readonly number[]
  readonly refused: readonly { readonly id: number; readonly retryAfterMs: number; readonly reason: string }[]
  /** When it could say something new without news, clock ms. */
  readonly wakeAtMs: number
}

export type BreakerWord = 'closed' | 'open' | 'half_open'

/** Sent more often than this a call is no worse off with an error. */
const triesAtMost = 4
/** A limit without a word about its end: asked again after 1, 2, 4 … s. */
const limitedBackoff: BackoffSpec = { baseMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.2 }
/** A single failure, most of which pass at once; 8 s is the longest of the official clients. */
const failedBackoff: BackoffSpec = { baseMs: 100, factor: 4, maxMs: 8_000, jitter: 0.25 }
/** What ran into these may go well the next time. */
const passing: ReadonlySet<ModelFailure> = new Set(['overloaded', 'unavailable', 'garbled'])
/** A line that was empty for so long after a pause needs no ramp any more. */
const rampEndsMs = 10_000

interface Waiting extends GateCall {
  /** Why it is turned away whatever the gate does: one retry too many, or the line is full. */
  readonly against: string | null
}

interface InFlight {
  readonly replica: ReplicaName
  readonly sentMs: number
  /** Let in while the breaker was half open. */
  readonly isTrial: boolean
}

/**
 * One provider with one key, for everybody on this node: who may call it when.
 * What one replica is told holds for all, since the key is the same.
 *
 * I1. Before the end of a `Retry-After` nobody is let in, whoever got it.
 * I2. Every call that asks is admitted, refused or gone, once.
 * I3. Replicas take turns; within one the first comes first.
 * I4. After a pause calls go out at no more than 1.5 times the rate that was seen to work.
 * I5. Calls that failed are repeated within `RetryBudget`. Who ran into a rate limit was not served: its pace is the gate's.
 */
export class Gate {
  readonly #name: string
  readonly #concurrency = new Concurrency()
  readonly #rate = new LearnedRate()
  readonly #retries: RetryBudget
  readonly #inFlight = new Map<number, InFlight>()
  /** In the order in which it is their turn. */
  readonly #lines = new Map<ReplicaName, Waiting[]>()
  #waiting = 0
  #trials = 0
  #breaker: BreakerWord = 'closed'
  #shutUntilMs = Number.NEGATIVE_INFINITY
  #shutReason = ''
  /** Rate limits without a word, one after the other, and when the last was. */
  #silentLimits = 0
  #silentMs = Number.NEGATIVE_INFINITY
  #ramp: Ramp | null = null
  #rampSinceMs = 0

  constructor(name: string, nowMs: number) {
    this.#name = name
    this.#retries = new RetryBudget(nowMs)
  }

  get waiting(): number {
    return this.#waiting
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  /** Why nobody gets in now, or null. */
  closedFor(nowMs: number): string | null {
    if (this.#breaker === 'open') return `${this.#name} is down`
    return nowMs < this.#shutUntilMs ? this.#shutReason : null
  }

  ask(call: GateCall, nowMs: number): void {
    const line = this.#lines.get(call.replica)
    const waiting = { ...call, against: this.#against(call, nowMs) }
    if (line === undefined) this.#lines.set(call.replica, [waiting])
    else line.push(waiting)
    this.#waiting += 1
  }

  /** A call that waited has left. */
  left(id: number): void {
    for (const [replica, line] of this.#lines) {
      const at = line.findIndex((call) => call.id === id)
      if (at < 0) continue
      this.#take(replica, line, at)
      return
    }
  }

  /** A call that was let in has ended. Returns how it may ask to be sent once more, or null. */
  answered(call: GateCall, answer: GateAnswer, nowMs: number): GateCall | null {
    const flight = this.#inFlight.get(call.id)
    const underWay = this.#inFlight.size
    this.#inFlight.delete(call.id)
    if (flight?.isTrial === true) this.#trials -= 1
    for (const { remaining, resetMs } of answer.words ?? [])
      if (remaining <= 0) this.#shut(nowMs + resetMs, `${this.#name}: its rate limit is used up`)
    if (answer.kind === 'gone') return null
    if (answer.kind === 'served') {
      this.#silentLimits = 0
      this.#concurrency.served(underWay)
      this.#rate.served(nowMs)
      return null
    }
    const { failure, retryAfterMs } = answer
    const isLimit = failure === 'rate_limited' || failure === 'overloaded'
    // A limit with a time of its own is one of calls a minute: the pause and the ramp keep it.
    if (isLimit && retryAfterMs === null) this.#concurrency.tooMuch(underWay, flight?.sentMs ?? nowMs, nowMs)
    if (failure === 'rate_limited') this.#limited(retryAfterMs, flight?.sentMs ?? nowMs, nowMs)
    else if (retryAfterMs !== null && passing.has(failure))
      this.#shut(nowMs + retryAfterMs, `${this.#name} asked for a pause`)
    if (call.tries + 1 >= triesAtMost || this.#breaker === 'open') return null
    const again = { ...call, tries: call.tries + 1, notBeforeMs: nowMs }
    if (failure === 'rate_limited') return again // Its pace is the gate's: it was not served.
    if (!passing.has(failure) || !this.#retries.take(nowMs)) return null
    return { ...again, notBeforeMs: nowMs + backoffMs(call.tries, failedBackoff, chanceOf(`${call.id}`)) }
  }

  /** The supervisor's breaker of this provider. */
  breaker(word: BreakerWord, nowMs: number): void {
    if (word === 'closed' && this.#breaker !== 'closed') this.#beginRamp(nowMs)
    this.#breaker = word
  }

  step(nowMs: number): GateStep {
    const admitted: number[] = []
    const refused = this.#waiting === 0 ? [] : this.#refusals(nowMs)
    this.#reopen(nowMs)
    while (this.#hasPlace(nowMs)) {
      const call = this.#next(nowMs)
      if (call === null || (this.#ramp !== null && !this.#ramp.take(nowMs))) break
      this.#admit(call, nowMs)
      admitted.push(call.id)
    }
    return { admitted, refused, wakeAtMs: this.#wakeAtMs(nowMs) }
  }

  #limited(retryAfterMs: number | null, sentMs: number, nowMs: number): void {
    if (retryAfterMs !== null) return this.#shut(nowMs + retryAfterMs, `${this.#name} limits the rate`)
    // Those that were under way together say it together.
    if (sentMs <= this.#silentMs) return
    this.#silentMs = nowMs
    const pauseMs = backoffMs(this.#silentLimits, limitedBackoff, chanceOf(`${this.#name}${nowMs}`))
    this.#silentLimits += 1
    this.#shut(nowMs + pauseMs, `${this.#name} limits the rate`)
  }

  #shut(untilMs: number, reason: string): void {
    if (untilMs <= this.#shutUntilMs) return
    this.#shutUntilMs = untilMs
    this.#shutReason = reason
  }

  #reopen(nowMs: number): void {
    if (this.#shutUntilMs > Number.NEGATIVE_INFINITY && nowMs >= this.#shutUntilMs) {
      this.#shutUntilMs = Number.NEGATIVE_INFINITY
      this.#beginRamp(nowMs)
    }
    if (this.#waiting === 0 && nowMs - this.#rampSinceMs >= rampEndsMs) this.#ramp = null
  }

  #beginRamp(nowMs: number): void {
    this.#ramp = new Ramp(this.#rate.at(nowMs), nowMs)
    this.#rampSinceMs = nowMs
  }

  #hasPlace(nowMs: number): boolean {
    if (this.#waiting === 0 || nowMs < this.#shutUntilMs || this.#breaker === 'open') return false
    if (this.#breaker === 'half_open') return this.#trials === 0
    return this.#inFlight.size < this.#concurrency.limit
  }

  /** Whose turn it is; null: all that wait have a time of their own to wait for. */
  #next(nowMs: number): Waiting | null {
    for (const line of this.#lines.values()) {
      const due = line.find(({ notBeforeMs }) => notBeforeMs <= nowMs)
      if (due !== undefined) return due
    }
    return null
  }

  #admit(call: Waiting, nowMs: number): void {
    const line = this.#lines.get(call.replica) ?? []
    this.#take(call.replica, line, line.indexOf(call))
    // Behind the others: everybody's turn comes.
    if (this.#lines.delete(call.replica) && line.length > 0) this.#lines.set(call.replica, line)
    const isTrial = this.#breaker === 'half_open'
    if (isTrial) this.#trials += 1
    this.#inFlight.set(call.id, { replica: call.replica, sentMs: nowMs, isTrial })
    if (call.tries === 0) this.#retries.called()
  }

  #take(replica: ReplicaName, line: Waiting[], at: number): void {
    line.splice(at, 1)
    this.#waiting -= 1
    if (line.length === 0) this.#lines.delete(replica)
  }

  #refusals(nowMs: number): GateStep['refused'] {
    const refused: { readonly id: number; readonly retryAfterMs: number; readonly reason: string }[] = []
    const isShut = nowMs < this.#shutUntilMs
    for (const [replica, line] of this.#lines) {
      for (const call of [...line]) {
        const reason = this.#reasonAgainst(call, nowMs)
        if (reason === null) continue
        this.#take(replica, line, line.indexOf(call))
        refused.push({ id: call.id, retryAfterMs: isShut ? this.#shutUntilMs - nowMs : failedBackoff.maxMs, reason })
      }
    }
    return refused
  }

  #against({ isRepeated, tries }: GateCall, nowMs: number): string | null {
    if (this.#waiting >= limits.gateWaiting) return `${limits.gateWaiting} calls wait for ${this.#name} already`
    const isUnpaid = isRepeated && tries === 0 && !this.#retries.take(nowMs)
    return isUnpaid ? `calls of ${this.#name} fail, and enough of them were repeated` : null
  }

  #reasonAgainst({ deadlineMs, against }: Waiting, nowMs: number): string | null {
    if (deadlineMs < this.#shutUntilMs || deadlineMs <= nowMs) return this.closedFor(nowMs) ?? `${this.#name} is busy`
    return against
  }

  #wakeAtMs(nowMs: number): number {
    if (this.#waiting === 0) return Number.POSITIVE_INFINITY
    let wakeAtMs = Number.POSITIVE_INFINITY
    for (const line of this.#lines.values())
      for (const { deadlineMs, notBeforeMs } of line) {
        wakeAtMs = Math.min(wakeAtMs, deadlineMs, notBeforeMs > nowMs ? notBeforeMs : Number.POSITIVE_INFINITY)
      }
    if (nowMs < this.#shutUntilMs) return Math.min(wakeAtMs, this.#shutUntilMs)
    const isRampsTurn = this.#ramp !== null && this.#hasPlace(nowMs) && this.#next(nowMs) !== null
    return isRampsTurn ? Math.min(wakeAtMs, this.#ramp?.nextMs(nowMs) ?? wakeAtMs) : wakeAtMs
  }
}
