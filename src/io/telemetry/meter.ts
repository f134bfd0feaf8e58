import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Meter } from '../../port/meter.ts'

/** One metric. Labels are bounded: never a task id, never free text. */
export interface MetricDefinition {
  readonly name: string
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  /** Of a histogram, in its unit; Prometheus' own when left out. */
  readonly buckets?: readonly number[]
}

/**
 * A meter over a registry of its own.
 *
 * @throws Error from `count`, `gauge` and `observe` for a name or label that is not in `definitions`: a slip of ours.
 */
export function createMeter(definitions: readonly MetricDefinition[]): Meter {
  const registry = new Registry()
  const counters = new Map<string, Counter>()
  const gauges = new Map<string, Gauge>()
  const histograms = new Map<string, Histogram>()
  for (const { name, kind, help, labels, buckets } of definitions) {
    const options = { name, help, labelNames: [...labels], registers: [registry] }
    switch (kind) {
      case 'counter':
        counters.set(name, new Counter(options))
        break
      case 'gauge':
        gauges.set(name, new Gauge(options))
        break
      case 'histogram':
        histograms.set(name, new Histogram(buckets === undefined ? options : { ...options, buckets: [...buckets] }))
        break
    }
  }
  return {
    count: (name, labels, by = 1) => known(counters, name).inc({ ...labels }, by),
    gauge: (name, labels, value) => known(gauges, name).set({ ...labels }, value),
    clear: (name) => known(gauges, name).reset(),
    observe: (name, labels, value) => known(histograms, name).observe({ ...labels }, value),
    render: () => registry.metrics(),
  }
}

function known<Metric>(metrics: ReadonlyMap<string, Metric>, name: string): Metric {
  const metric = metrics.get(name)
  if (metric === undefined)
    throw new Error(`Metric ${name} is not declared with this kind: add it to the table of metrics.`)
  return metric
}
