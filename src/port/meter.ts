/** Counts and measures. Names and labels are declared in one table, `runtime/metrics.ts`; labels are bounded. */
export interface Meter {
  count(name: string, labels: Readonly<Record<string, string>>, by?: number): void
  gauge(name: string, labels: Readonly<Record<string, string>>, value: number): void
  /** Drops a gauge's series, e.g. of a replica that is gone. */
  clear(name: string): void
  observe(name: string, labels: Readonly<Record<string, string>>, value: number): void
  /** Prometheus text. */
  render(): Promise<string>
}
