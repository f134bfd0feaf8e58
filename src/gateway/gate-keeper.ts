import type { ReplicaName } from '../model/ids.ts'
import type { ModelFailure } from '../model/observation.ts'
import { type BreakerWord, Gate, type GateAnswer, type GateCall } from '../policy/gate/gate.ts'
import type { Clock } from '../port/clock.ts'
import type { WireFault } from './wire/types.ts'

export type Entered =
  | { readonly kind: 'in'; readonly call: GateCall }
  | { readonly kind: 'refused'; readonly retryAfterMs: number; readonly reason: string }
  | { readonly kind: 'left' }

/** Who asks to be let in; `again`: what `leave` said when it was sent before. */
export interface GateAsk {
  readonly replica: ReplicaName
  readonly deadlineMs: number
  readonly isRepeated: boolean
  readonly again: GateCall | null
}

/** Keeps the gate of one provider: lets calls in when the policy says so, and wakes up when it could say something new. */
export class GateKeeper {
  readonly #gate: Gate
  readonly #clock: Clock
  readonly #waiting = new Map<number, (entered: Entered) => void>()
  readonly #calls = new Map<number, GateCall>()
  #lastId = 0
  #alarm: AbortController | null = null
  #alarmMs = Number.POSITIVE_INFINITY

  constructor(name: string, clock: Clock) {
    this.#clock = clock
    this.#gate = new Gate(name, clock.nowMs())
  }

  /** Calls that wait, and calls under way. */
  get depth(): { readonly waiting: number; readonly inFlight: number } {
    return { waiting: this.#gate.waiting, inFlight: this.#gate.inFlight }
  }

  /**
   * Resolves when the call may go out, must not, or its client has left.
   *
   * @param onWait  Called when it is not let in at once.
   */
  enter({ again, ...ask }: GateAsk, signal: AbortSignal, onWait: (why: string) => void): Promise<Entered> {
    if (signal.aborted) return Promise.resolve({ kind: 'left' })
    if (again === null) this.#lastId += 1
    const call: GateCall = again ?? { ...ask, id: this.#lastId, tries: 0, notBeforeMs: 0 }
    const { promise, resolve } = Promise.withResolvers<Entered>()
    const leave = (): void => {
      if (!this.#waiting.delete(call.id)) return
      this.#gate.left(call.id)
      resolve({ kind: 'left' })
      this.#step()
    }
    signal.addEventListener('abort', leave, { once: true })
    this.#waiting.set(call.id, (entered) => {
      signal.removeEventListener('abort', leave)
      resolve(entered)
    })
    this.#calls.set(call.id, call)
    this.#gate.ask(call, this.#clock.nowMs())
    this.#step()
    if (this.#waiting.has(call.id)) onWait(this.#gate.closedFor(this.#clock.nowMs()) ?? 'others are before it')
    return promise
  }

  /** Once for each call that was let in. Returns how it may ask to be sent again, or null. */
  leave(call: GateCall, outcome: WireFault | 'served' | 'left', words: GateAnswer['words'] = []): GateCall | null {
    const again = this.#gate.answered(call, answerOf(outcome, words), this.#clock.nowMs())
    this.#step()
    return again
  }

  breaker(word: BreakerWord): void {
    this.#gate.breaker(word, this.#clock.nowMs())
    this.#step()
  }

  close(): void {
    this.#alarm?.abort()
    for (const tell of this.#waiting.values()) tell({ kind: 'left' })
    this.#waiting.clear()
  }

  #step(): void {
    const { admitted, refused, wakeAtMs } = this.#gate.step(this.#clock.nowMs())
    for (const id of admitted) {
      const call = this.#calls.get(id)
      if (call !== undefined) this.#tell(id, { kind: 'in', call })
    }
    for (const { id, retryAfterMs, reason } of refused) this.#tell(id, { kind: 'refused', retryAfterMs, reason })
    if (wakeAtMs !== this.#alarmMs) void this.#setAlarm(wakeAtMs)
  }

  #tell(id: number, entered: Entered): void {
    const tell = this.#waiting.get(id)
    this.#waiting.delete(id)
    this.#calls.delete(id)
    tell?.(entered)
  }

  async #setAlarm(atMs: number): Promise<void> {
    this.#alarm?.abort()
    this.#alarmMs = atMs
    if (!Number.isFinite(atMs)) return
    const alarm = new AbortController()
    this.#alarm = alarm
    await this.#clock.sleepUntil(atMs, alarm.signal)
    if (alarm.signal.aborted) return
    this.#alarmMs = Number.POSITIVE_INFINITY
    this.#step()
  }
}

function answerOf(outcome: WireFault | 'served' | 'left', words: GateAnswer['words'] = []): GateAnswer {
  if (outcome === 'served') return { kind: 'served', words }
  if (outcome === 'left') return { kind: 'gone' }
  const failure: ModelFailure = outcome.failure === 'not_found' ? 'bad_request' : outcome.failure
  return { kind: 'failed', failure, retryAfterMs: outcome.retryAfterMs, words: outcome.words }
}
