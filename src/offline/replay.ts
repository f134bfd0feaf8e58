import type { LoopForm, ToolLoopSpec, VerdictLevel } from '../model/detect.ts'
import type { RunFact } from '../model/run.ts'
import { foldRun, newRun, type RunState } from '../policy/detect/tool-loop.ts'

/** The first verdict of one level. */
export interface Finding {
  /** Fact (from 0) at which it was said. */
  readonly step: number
  /** Model calls up to and including that fact. */
  readonly modelCall: number
  readonly form: LoopForm
  /** Fact at which the loop began. */
  readonly firstAt: number
  readonly evidence: readonly string[]
}

/** What the detectors would have said of one run: the first verdict at or above each level. */
export type Findings = Readonly<Record<VerdictLevel, Finding | null>>

/** A run under replay, fact by fact. */
export interface Replay {
  readonly state: RunState
  readonly modelCalls: number
  readonly findings: Findings
}

export const newReplay: Replay = {
  state: newRun,
  modelCalls: 0,
  findings: { note: null, nudge: null, act: null },
}

export function replayFact(replay: Replay, fact: RunFact, spec: ToolLoopSpec): Replay {
  const modelCalls = replay.modelCalls + (fact.kind === 'model' ? 1 : 0)
  const { state, verdict } = foldRun(replay.state, fact, spec)
  if (verdict === null) return { state, modelCalls, findings: replay.findings }
  const { form, firstAt, evidence } = verdict
  const found: Finding = { step: state.facts - 1, modelCall: modelCalls, form, firstAt, evidence }
  const { note, nudge, act } = replay.findings
  return {
    state,
    modelCalls,
    findings: {
      note: note ?? found,
      nudge: verdict.level === 'note' ? nudge : (nudge ?? found),
      act: verdict.level === 'act' ? (act ?? found) : act,
    },
  }
}

export function replayRun(facts: readonly RunFact[], spec: ToolLoopSpec): Findings {
  return facts.reduce((replay, fact) => replayFact(replay, fact, spec), newReplay).findings
}

/** Model calls after `onset` up to `step`; negative when the verdict came before it. */
export function modelCallsAfter(facts: readonly RunFact[], onset: number, step: number): number {
  const between = (from: number, to: number) =>
    facts.slice(from + 1, to + 1).filter(({ kind }) => kind === 'model').length
  return step >= onset ? between(onset, step) : -between(step, onset)
}
