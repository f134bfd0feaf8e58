import type { VerdictLevel } from '../model/detect.ts'
import { type Findings, modelCallsAfter } from './replay.ts'
import type { RecordedRun } from './run.ts'

/** A level that is scored: notes are for people who look, and wake nobody. */
export type ScoredLevel = Exclude<VerdictLevel, 'note'>

/** One labelled run after its replay: all that a score needs. */
export interface Outcome {
  readonly source: string
  readonly kind: 'clean' | 'loop' | 'talk'
  readonly levels: Readonly<Record<ScoredLevel, Detection | null>>
}

export interface Detection {
  /** Facts after the labelled onset; negative when it came before. 0 for clean runs, which have none. */
  readonly steps: number
  readonly modelCalls: number
}

export interface Share {
  readonly count: number
  readonly of: number
  /** Null of nothing. */
  readonly share: number | null
}

export interface SourceScore {
  readonly source: string
  readonly loops: Share
  readonly talk: Share
  readonly falseAlarms: Share
}

export interface LevelScore extends Omit<SourceScore, 'source'> {
  /** Of the stuck runs that were caught. */
  readonly medianStepsAfterOnset: number | null
  readonly medianModelCallsAfterOnset: number | null
  readonly sources: readonly SourceScore[]
}

export interface Score {
  readonly runs: number
  readonly labelled: number
  readonly act: LevelScore
  readonly nudge: LevelScore
}

/** The rule that `labels` give to a run that only talks. */
const talkRule = 'S7b_no_action'

/** Null for a run that nobody labelled stuck or clean. */
export function outcomeOf({ source, facts, label }: RecordedRun, { nudge, act }: Findings): Outcome | null {
  if (label === null || label.kind === 'unclear') return null
  const { onset } = label
  const detection = (step: number | undefined): Detection | null => {
    if (step === undefined) return null
    return onset === null
      ? { steps: 0, modelCalls: 0 }
      : { steps: step - onset, modelCalls: modelCallsAfter(facts, onset, step) }
  }
  return {
    source: source ?? 'unknown',
    kind: kindOf(label),
    levels: { nudge: detection(nudge?.step), act: detection(act?.step) },
  }
}

export function kindOf({ kind, rule }: { readonly kind: string; readonly rule: string | null }): Outcome['kind'] {
  if (kind === 'clean') return 'clean'
  return rule === talkRule ? 'talk' : 'loop'
}

export function scoreOf(runs: number, outcomes: readonly Outcome[]): Score {
  return {
    runs,
    labelled: outcomes.length,
    act: levelScore(outcomes, 'act'),
    nudge: levelScore(outcomes, 'nudge'),
  }
}

export function levelScore(outcomes: readonly Outcome[], level: ScoredLevel): LevelScore {
  const caught = outcomes.flatMap(({ kind, levels }) => {
    const detection = levels[level]
    return kind === 'clean' || detection === null ? [] : [detection]
  })
  const bySource = Map.groupBy(outcomes, ({ source }) => source)
  return {
    ...sharesOf(outcomes, level),
    medianStepsAfterOnset: median(caught.map(({ steps }) => steps)),
    medianModelCallsAfterOnset: median(caught.map(({ modelCalls }) => modelCalls)),
    sources: [...bySource].map(([source, own]) => ({ source, ...sharesOf(own, level) })),
  }
}

function sharesOf(outcomes: readonly Outcome[], level: ScoredLevel): Omit<SourceScore, 'source'> {
  const share = (kind: Outcome['kind']): Share => {
    const own = outcomes.filter((outcome) => outcome.kind === kind)
    const count = own.filter(({ levels }) => levels[level] !== null).length
    return { count, of: own.length, share: own.length === 0 ? null : count / own.length }
  }
  return { loops: share('loop'), talk: share('talk'), falseAlarms: share('clean') }
}

/** The upper one of two middles: a bar on a median is not met by half of it. */
export function median(values: readonly number[]): number | null {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? null
}
