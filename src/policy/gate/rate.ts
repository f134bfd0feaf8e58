/** Over so long a rate is taken. */
const windowMs = 5_000
const slots = 10
const slotMs = windowMs / slots
/** What was possible ten minutes ago counts half: providers change their limits. */
const halfLifeMs = 600_000
/** A ramp runs a little above what is known to work, with a burst that keeps any second below 1.5 times of it. */
const rampFactor = 1.2
const burstS = 0.2
/** Who has waited for a minute may have been learned about in a quiet hour: from then on it grows, by a twentieth a second. */
const known = { growsAfterMs: 60_000, growthPerS: 1.05 }
/** Below this nothing is known: begun with so many a second, and doubled every four seconds. */
const leastPerS = 2
const unknown = { growsAfterMs: 0, growthPerS: 1.19 }

/** The highest rate at which calls were answered of late, calls a second. */
export class LearnedRate {
  readonly #counts = new Array<number>(slots).fill(0)
  #slot = 0
  #sum = 0
  #best = 0
  #bestMs = 0

  served(nowMs: number): void {
    this.#turn(nowMs)
    const at = this.#slot % slots
    this.#counts[at] = (this.#counts[at] ?? 0) + 1
    this.#sum += 1
    const rate = this.#sum / (windowMs / 1_000)
    if (rate < this.at(nowMs)) return
    this.#best = rate
    this.#bestMs = nowMs
  }

  /** 0: nothing is known. */
  at(nowMs: number): number {
    return this.#best * 0.5 ** ((nowMs - this.#bestMs) / halfLifeMs)
  }

  #turn(nowMs: number): void {
    const slot = Math.floor(nowMs / slotMs)
    const passed = Math.min(slots, slot - this.#slot)
    for (let step = 1; step <= passed; step++) {
      const at = (slot - passed + step) % slots
      this.#sum -= this.#counts[at] ?? 0
      this.#counts[at] = 0
    }
    this.#slot = Math.max(this.#slot, slot)
  }
}

/** The way back after a pause: a token bucket at the rate that is known to work. */
export class Ramp {
  readonly #perS: number
  readonly #growth: typeof known
  readonly #sinceMs: number
  #tokens = 1
  #atMs: number

  /** @param perS  What was learned; 0: nothing. */
  constructor(perS: number, nowMs: number) {
    this.#growth = perS < leastPerS ? unknown : known
    this.#perS = Math.max(perS, leastPerS) * rampFactor
    this.#sinceMs = nowMs
    this.#atMs = nowMs
  }

  /** Whether one may go now; takes it. */
  take(nowMs: number): boolean {
    this.#refill(nowMs)
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }

  /** When the next may go, clock ms. */
  nextMs(nowMs: number): number {
    this.#refill(nowMs)
    return this.#tokens >= 1 ? nowMs : nowMs + Math.ceil(((1 - this.#tokens) / this.#rate(nowMs)) * 1_000)
  }

  #rate(nowMs: number): number {
    const { growsAfterMs, growthPerS } = this.#growth
    const grownS = Math.max(0, nowMs - this.#sinceMs - growsAfterMs) / 1_000
    return this.#perS * growthPerS ** Math.min(grownS, 600)
  }

  #refill(nowMs: number): void {
    const rate = this.#rate(nowMs)
    this.#tokens = Math.min(Math.max(1, rate * burstS), this.#tokens + (rate * (nowMs - this.#atMs)) / 1_000)
    this.#atMs = nowMs
  }
}
