/**
 * The only source of time. `nowMs` is wall time at start plus monotonic time
 * since, so it never goes back within a process; pauses of the machine count
 * (boot time, where the platform tells).
 */
export interface Clock {
  nowMs(): number
  /** Resolves at `atMs`, at once when that is past, and early (without an error) when `signal` aborts. */
  sleepUntil(atMs: number, signal: AbortSignal): Promise<void>
}
