/** Of the calls that go out, in the long run: what is above is no help for the provider and none for the caller. */
const share = 0.09
/** A burst of bad luck after a quiet hour. */
const most = 20
/** Where next to nothing is called, one a minute costs nobody anything. */
const refillMs = 60_000

/**
 * How many calls may be sent again: each call puts a share of a retry into the
 * bucket, each retry takes a whole one out, so retries stay below 10 % however
 * many calls fail, but for 20 after a good hour and one a minute (Finagle's `RetryBudget`; "Addressing Cascading Failures" in
 * Google's SRE book).
 */
export class RetryBudget {
  #left = 1
  #refilledMs: number

  constructor(nowMs: number) {
    this.#refilledMs = nowMs
  }

  called(): void {
    this.#left = Math.min(most, this.#left + share)
  }

  /** Whether one may be sent again; takes it. */
  take(nowMs: number): boolean {
    if (this.#left < 1 && nowMs - this.#refilledMs >= refillMs) {
      this.#left += 1
      this.#refilledMs = nowMs
    }
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }
}
