import type { LoopForm, LoopThresholds, ToolLoopSpec } from '../model/detect.ts'
import type { RunFact } from '../model/run.ts'
import { countRun, newRun } from '../policy/detect/tool-loop.ts'
import type { RecordedRun } from './run.ts'
import { type Detection, kindOf, type LevelScore, levelScore, median, type Outcome, type ScoredLevel } from './score.ts'

/*
 * What thresholds are worth on runs they have not seen: for each source they are
 * tuned on all others and measured on it. Twice: `free` finds every threshold
 * anew, from nothing, and so shows what a corpus of this size can teach;
 * `scaled` keeps the ratio between the forms, which has a reason (`LoopThresholds`),
 * and finds one factor. The forms themselves were thought of with the corpus at
 * hand: this measures numbers, not ideas.
 */

const never = Number.POSITIVE_INFINITY
/** Counts beyond it are not told apart. */
const highest = 48
/** What `free` may choose from, most careful first. */
const candidates: readonly number[] = [never, 24, 20, 16, 12, 10, 8, 7, 6, 5, 4, 3, 2]
const factors: readonly number[] = [2, 1.8, 1.6, 1.4, 1.2, 1, 0.9, 0.8, 0.7, 0.6, 0.5]
/** Where `free` starts: in the middle, and not at the defaults, which have seen every source. */
const startAt = 8
const passes = 4

/** What tuning aims at: a share of false alarms weighs as much as so many of misses; being later costs too. */
const aims: Readonly<Record<ScoredLevel, { readonly falseAlarm: number; readonly targetCalls: number }>> = {
  act: { falseAlarm: 4, targetCalls: 4 },
  nudge: { falseAlarm: 1, targetCalls: 2 },
}
const callCost = 0.1

/** When each form reached each count, for one labelled run. */
export interface Trace {
  readonly source: string
  readonly kind: Outcome['kind']
  /** Step at which a form reached a count (its place in the list), `never` where it did not. */
  readonly reached: Readonly<Record<LoopForm, readonly number[]>>
  /** Model calls after the onset, by step. */
  readonly modelCalls: readonly number[]
  readonly onset: number
}

/** Null for a run that nobody labelled stuck or clean. */
export function traceOf({ source, facts, label }: RecordedRun, spec: ToolLoopSpec): Trace | null {
  if (label === null || label.kind === 'unclear') return null
  const reached = Object.fromEntries(
    formsOf(spec.thresholds).map((form) => [form, Array.from({ length: highest + 1 }, () => never)]),
  ) as Record<LoopForm, number[]>
  let state = newRun
  for (const [step, fact] of facts.entries()) {
    const counted = countRun(state, fact, spec)
    state = counted.state
    for (const { form, count } of counted.signals) {
      const steps = reached[form]
      for (let at = Math.min(Math.floor(count), highest); at > 0 && steps[at] === never; at--) steps[at] = step
    }
  }
  const onset = label.onset ?? 0
  return { source: source ?? 'unknown', kind: kindOf(label), reached, modelCalls: callsAfter(facts, onset), onset }
}

function callsAfter(facts: readonly RunFact[], onset: number): readonly number[] {
  let calls = 0
  const upTo = facts.map(({ kind }) => (kind === 'model' ? ++calls : calls))
  return upTo.map((count) => count - (upTo[onset] ?? 0))
}

/** Every source by thresholds that had not seen it. */
export type Unseen = Readonly<Record<ScoredLevel, LevelScore>>

export interface LeaveOneOut {
  readonly free: Unseen
  readonly scaled: Unseen
}

export function leaveOneOut(traces: readonly Trace[], defaults: LoopThresholds): LeaveOneOut {
  return { free: unseen(traces, tuneFreely, defaults), scaled: unseen(traces, tuneFactor, defaults) }
}

/** Thresholds of one level. */
type Counts = Readonly<Record<LoopForm, number>>
type Tune = (traces: readonly Trace[], level: ScoredLevel, defaults: LoopThresholds) => Counts

function unseen(traces: readonly Trace[], tune: Tune, defaults: LoopThresholds): Unseen {
  const sources = [...new Set(traces.map(({ source }) => source))]
  const outcomes = sources.flatMap((source) => {
    const others = traces.filter((trace) => trace.source !== source)
    const counts = { act: tune(others, 'act', defaults), nudge: tune(others, 'nudge', defaults) }
    return traces
      .filter((trace) => trace.source === source)
      .map(
        (trace): Outcome => ({
          source,
          kind: trace.kind,
          levels: { act: detected(trace, counts.act), nudge: detected(trace, counts.nudge) },
        }),
      )
  })
  return { act: levelScore(outcomes, 'act'), nudge: levelScore(outcomes, 'nudge') }
}

/** Coordinate descent; ties go to the more careful. */
function tuneFreely(traces: readonly Trace[], level: ScoredLevel, defaults: LoopThresholds): Counts {
  const forms = formsOf(defaults)
  const counts = Object.fromEntries(forms.map((form) => [form, startAt])) as Record<LoopForm, number>
  for (let pass = 0; pass < passes; pass++) {
    for (const form of forms) {
      const others = traces.map((trace) => stepOf(trace, { ...counts, [form]: never }))
      counts[form] = cheapest(candidates, (count) => {
        const steps = traces.map((trace, at) => Math.min(others[at] ?? never, reachedAt(trace, form, count)))
        return costOf(traces, steps, level)
      })
    }
  }
  return counts
}

function tuneFactor(traces: readonly Trace[], level: ScoredLevel, defaults: LoopThresholds): Counts {
  const factor = cheapest(factors, (each) => {
    const counts = scaled(defaults, level, each)
    return costOf(
      traces,
      traces.map((trace) => stepOf(trace, counts)),
      level,
    )
  })
  return scaled(defaults, level, factor)
}

function scaled(defaults: LoopThresholds, level: ScoredLevel, factor: number): Counts {
  const entries = formsOf(defaults).map((form) => [form, Math.max(2, Math.round(defaults[form][level] * factor))])
  return Object.fromEntries(entries) as Counts
}

/** The first of the cheapest. */
function cheapest(choices: readonly number[], cost: (choice: number) => number): number {
  const costs = choices.map(cost)
  return choices[costs.indexOf(Math.min(...costs))] ?? never
}

function costOf(traces: readonly Trace[], steps: readonly number[], level: ScoredLevel): number {
  const of = { clean: 0, loop: 0, talk: 0 }
  const found = { clean: 0, loop: 0, talk: 0 }
  const calls: number[] = []
  for (const [at, { kind, modelCalls }] of traces.entries()) {
    const step = steps[at] ?? never
    of[kind]++
    if (step === never) continue
    found[kind]++
    if (kind !== 'clean') calls.push(modelCalls[step] ?? 0)
  }
  const share = (kind: Outcome['kind'], ofNone: number) => (of[kind] === 0 ? ofNone : found[kind] / of[kind])
  const late = Math.max(0, (median(calls) ?? 0) - aims[level].targetCalls)
  return 2 - share('loop', 1) - share('talk', 1) + aims[level].falseAlarm * share('clean', 0) + callCost * late
}

function stepOf(trace: Trace, counts: Counts): number {
  return formsOf(counts).reduce((first, form) => Math.min(first, reachedAt(trace, form, counts[form])), never)
}

function reachedAt({ reached }: Trace, form: LoopForm, count: number): number {
  return reached[form][count] ?? never
}

function detected(trace: Trace, counts: Counts): Detection | null {
  const step = stepOf(trace, counts)
  if (step === never) return null
  if (trace.kind === 'clean') return { steps: 0, modelCalls: 0 }
  return { steps: step - trace.onset, modelCalls: trace.modelCalls[step] ?? 0 }
}

function formsOf(record: Readonly<Record<LoopForm, unknown>>): readonly LoopForm[] {
  return Object.keys(record) as LoopForm[]
}
