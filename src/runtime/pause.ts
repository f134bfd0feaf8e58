/** Lateness below this is scheduling, not a pause, ms: 40 busy processes on 2 cores delayed a loop by 1.74 s at worst. */
const pauseMs = 2_000
/** How long a delay stays in the account, ms. */
const memoryMs = 10_000

/**
 * Watches the watcher (R11). A loop that was to run at one time and runs much
 * later was itself paused; a little later is lag, by which every threshold is
 * stretched.
 */
export class PauseWatch {
  private expectedMs: number
  private lags: { readonly atMs: number; readonly lagMs: number }[] = []

  constructor(nowMs: number) {
    this.expectedMs = nowMs
  }

  /** Call on every run of the loop. Returns the time this process missed, 0 when it was not paused. */
  ran(nowMs: number): number {
    const lateMs = nowMs - this.expectedMs
    if (lateMs < 1) return 0
    if (lateMs >= pauseMs) {
      this.expectedMs = nowMs
      return lateMs
    }
    this.lagged(lateMs, nowMs)
    return 0
  }

  /** A turn that took `lateMs`, e.g. by a slow disk: what it decided was carried out, and heard, so much later. */
  lagged(lateMs: number, nowMs: number): void {
    if (lateMs < 1) return
    this.lags = this.lags.filter((lag) => nowMs - lag.atMs < memoryMs && lag.lagMs > lateMs)
    this.lags.push({ atMs: nowMs, lagMs: lateMs })
  }

  /** When the loop means to run next. */
  expect(atMs: number): void {
    this.expectedMs = atMs
  }

  /** Worst delay in the last ten seconds, ms. */
  lagMs(nowMs: number): number {
    const worst = this.lags.find((lag) => nowMs - lag.atMs < memoryMs)
    return worst === undefined ? 0 : worst.lagMs
  }
}
