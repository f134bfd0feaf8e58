/** Nobody is slowed down before the provider says so. */
const most = 1_000
const decrease = 0.7
/** A limit that is not used says nothing about whether more would do. */
const used = 0.8

/**
 * How many calls may be under way: additive increase, multiplicative decrease
 * (Chiu and Jain 1989; TCP). Not a gradient of latencies (Vegas, Netflix'
 * concurrency-limits): how long a model takes depends on how much it says, not
 * on how busy it is, so the gradient would follow the questions.
 */
export class Concurrency {
  #limit = most
  #decreasedMs = Number.NEGATIVE_INFINITY

  get limit(): number {
    return Math.max(1, Math.floor(this.#limit))
  }

  /** A call was answered while `inFlight` were under way, itself included. */
  served(inFlight: number): void {
    if (inFlight >= this.#limit * used) this.#limit = Math.min(most, this.#limit + 1 / this.#limit)
  }

  /** The provider has too much. Calls that were under way at the last decrease say so once more, and count once. */
  tooMuch(inFlight: number, sentMs: number, nowMs: number): void {
    if (sentMs <= this.#decreasedMs) return
    this.#limit = Math.max(1, Math.min(this.#limit, inFlight) * decrease)
    this.#decreasedMs = nowMs
  }
}
