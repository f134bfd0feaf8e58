import type { LeakSpec, LeakVerdict, VerdictLevel } from '../../model/detect.ts'
import { isLouder, levelOf } from './level.ts'

/** One reading of a gauge with a limit: resident memory in bytes, or open files. */
export interface GaugeSample {
  readonly atMs: number
  readonly value: number
  /** Null: none is set, and nothing is said. */
  readonly limit: number | null
}

/** The readings of one incarnation. */
export interface GaugeState {
  /** Newest last; at most `samplesKept`. */
  readonly samples: readonly GaugeSample[]
  readonly said: VerdictLevel | null
}

export const newGauge: GaugeState = { samples: [], said: null }

/** Enough for a slope through the noise of a garbage collector; an older slope is another phase of the work. */
const samplesKept = 20

export interface GaugeFolded {
  readonly state: GaugeState
  /** Only when the level rises. Acting means: drain, then replace; no task is interrupted. */
  readonly verdict: LeakVerdict | null
}

export function foldGauge(
  state: GaugeState,
  fault: LeakVerdict['fault'],
  sample: GaugeSample,
  spec: LeakSpec,
): GaugeFolded {
  const samples = [...state.samples, sample].slice(-samplesKept)
  const judgement = spec.enabled ? judge(samples, fault, spec) : null
  if (judgement === null) return { state: { samples, said: null }, verdict: null }
  if (!isLouder(judgement.level, state.said)) return { state: { ...state, samples }, verdict: null }
  return { state: { samples, said: judgement.level }, verdict: judgement }
}

function judge(samples: readonly GaugeSample[], fault: LeakVerdict['fault'], spec: LeakSpec): LeakVerdict | null {
  const [newest, before] = [samples.at(-1), samples.at(-2)]
  if (newest === undefined || newest.limit === null || newest.limit <= 0) return null
  const { limit, value } = newest
  const share = value / limit
  const { fullShare } = spec
  const wasFull = before !== undefined && fullShare !== null && before.value / (before.limit ?? limit) >= fullShare
  if (fullShare !== null && share >= fullShare && wasFull) {
    return {
      fault,
      level: 'act',
      form: 'full',
      evidence: [filled(value, limit, fault), 'and so was it the sample before'],
    }
  }
  const slope = samples.length < spec.samples ? 0 : growthPerMs(samples)
  if (slope <= 0) return null
  const leftMs = (limit - value) / slope
  const byShare = levelOf(share, spec.share)
  const level = byShare === null || leftMs <= spec.horizonMs ? byShare : 'note'
  if (level === null) return null
  const perMinute = shown(slope * 60_000, fault)
  const minutes = (leftMs / 60_000).toFixed(1)
  const growth = `grows by ${perMinute} a minute over ${samples.length} samples: full in ${minutes} minutes`
  return { fault, level, form: 'filling', evidence: [filled(value, limit, fault), growth] }
}

/**
 * Growth through the samples by least squares, per ms; 0 unless the floor of the
 * newer half lies above that of the older: what a garbage collection takes back
 * was no leak.
 */
function growthPerMs(samples: readonly GaugeSample[]): number {
  const half = Math.floor(samples.length / 2)
  const floor = (part: readonly GaugeSample[]) => Math.min(...part.map(({ value }) => value))
  if (floor(samples.slice(half)) <= floor(samples.slice(0, half))) return 0
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const middleMs = mean(samples.map(({ atMs }) => atMs))
  const middle = mean(samples.map(({ value }) => value))
  let over = 0
  let under = 0
  for (const { atMs, value } of samples) {
    over += (atMs - middleMs) * (value - middle)
    under += (atMs - middleMs) ** 2
  }
  return under === 0 ? 0 : over / under
}

function filled(value: number, limit: number, fault: LeakVerdict['fault']): string {
  return `${shown(value, fault)} of ${shown(limit, fault)} (${Math.floor((100 * value) / limit)} %)`
}

function shown(value: number, fault: LeakVerdict['fault']): string {
  return fault === 'leaking' ? `${(value / 2 ** 20).toFixed(1)} MiB` : `${Math.round(value)} open files`
}
