import { assertNever } from '../../model/assert.ts'
import type { LoopThresholds, LoopVerdict, ToolLoopSpec, VerdictLevel } from '../../model/detect.ts'
import { limits } from '../../model/limits.ts'
import type { ModelFact, RunFact, ToolFact } from '../../model/run.ts'
import { isLouder, levelOf } from './level.ts'
import { type Cycles, foldCycles, mostRounds, noCycles } from './loop/cycles.ts'
import { emptyMemory, noveltyOf, type RunMemory, rememberCall, rememberText, seenCall } from './loop/memory.ts'
import { foldStagnation, stalledByTalk } from './loop/stagnation.ts'
import {
  type CallStreaks,
  foldStreaks,
  foldTalk,
  growthOf,
  isTalk,
  noCallStreaks,
  noStreak,
  noTalk,
  type Streak,
  type TalkStreaks,
} from './loop/streaks.ts'
import { evidenceOf, type Signal } from './loop/words.ts'

/**
 * What the loop detector keeps of one run: about 350 short strings and 24 calls,
 * 40 KiB with every `argsText` at its limit and names and hashes of ordinary length, however long the run.
 */
export interface RunState {
  /** Facts folded. */
  readonly facts: number
  readonly memory: RunMemory
  readonly streaks: CallStreaks
  readonly talk: TalkStreaks
  readonly cycles: Cycles
  readonly stagnation: Streak
  /** The loudest level said of the loop that stands, so that each is said once. */
  readonly said: VerdictLevel | null
}

export const newRun: RunState = {
  facts: 0,
  memory: emptyMemory,
  streaks: noCallStreaks,
  talk: noTalk,
  cycles: noCycles,
  stagnation: noStreak,
  said: null,
}

export interface Folded {
  readonly state: RunState
  /** Only when the level rises: a loop that goes on is not said again. */
  readonly verdict: LoopVerdict | null
}

/**
 * Takes one fact into the run and says whether the agent is stuck. The live tick
 * and `replay` both call it.
 *
 * A message of a person resets everything: what was asked anew may be done anew.
 * A call of a polling tool counts for nothing.
 */
export function foldRun(state: RunState, fact: RunFact, spec: ToolLoopSpec): Folded {
  const { state: next, signals } = countRun(state, fact, spec)
  return spec.enabled ? judged(next, fact, signals, spec) : { state: next, verdict: null }
}

/** The counting half of `foldRun`: which forms this fact belongs to, and how far each has gone. No thresholds. */
export function countRun(
  state: RunState,
  fact: RunFact,
  spec: ToolLoopSpec,
): { readonly state: RunState; readonly signals: readonly Signal[] } {
  switch (fact.kind) {
    case 'user':
      return {
        state: fact.auto ? { ...state, facts: state.facts + 1 } : { ...newRun, facts: state.facts + 1 },
        signals: [],
      }
    case 'model':
      return countModel(state, fact)
    case 'tool':
      return fact.poll || spec.tools[fact.name]?.polling === true ? countPoll(state) : countCall(state, fact)
    default:
      return assertNever(fact)
  }
}

/** An action, so no talk; and no more. */
function countPoll(state: RunState) {
  return { state: { ...state, facts: state.facts + 1, talk: noTalk }, signals: [] }
}

function countModel(state: RunState, fact: ModelFact) {
  const at = state.facts
  const talk = foldTalk(state.talk, fact, at)
  const stagnation = isTalk(fact) ? stalledByTalk(state.stagnation, at) : state.stagnation
  const next = { ...state, facts: at + 1, memory: rememberText(state.memory, fact), talk, stagnation }
  if (!isTalk(fact)) return { state: next, signals: [] }
  return {
    state: next,
    signals: [signal('monologue', talk.monologue), signal('talk', talk.talk), signal('stagnation', stagnation)],
  }
}

function countCall(state: RunState, fact: ToolFact) {
  const call = seenCall(state.facts, fact)
  const before = state.memory.calls
  const novelty = noveltyOf(state.memory, call)
  const memory = rememberCall(state.memory, call, novelty)
  const streaks = foldStreaks(state.streaks, call, before.at(-1), novelty)
  const cycles = foldCycles(state.cycles, call, before, novelty)
  const stagnation = foldStagnation(state.stagnation, call, state.memory, novelty)
  return {
    state: { ...state, facts: state.facts + 1, memory, streaks, talk: noTalk, cycles, stagnation },
    signals: [
      repeats(memory),
      { form: 'cycle', ...mostRounds(cycles.whole) } as const,
      signal('same_error', streaks.sameError),
      signal('growing_arguments', growthOf(streaks.growing)),
      signal('digits_only', streaks.digitsOnly),
      signal('same_request', streaks.sameRequest),
      { form: 'request_cycle', ...mostRounds(cycles.requests) } as const,
      signal('same_answer', streaks.sameAnswer),
      signal('stagnation', stagnation),
    ],
  }
}

/** How often the newest call and answer stand among the last few, since something was brought. */
function repeats({ calls, productiveAt }: RunMemory): Signal {
  const newest = calls.at(-1)
  const same = calls
    .slice(-limits.loopDensity)
    .filter(({ at, request, answer }) => at >= productiveAt && request === newest?.request && answer === newest.answer)
  const form = newest?.fact.isError === true ? 'same_failure' : 'same_call'
  return { form, count: same.length, since: same[0]?.at ?? 0, period: 1 }
}

function signal(form: Signal['form'], { count, since }: Pick<Streak, 'count' | 'since'>): Signal {
  return { form, count, since, period: 1 }
}

function judged(state: RunState, fact: RunFact, signals: readonly Signal[], spec: ToolLoopSpec): Folded {
  const thresholds = thresholdsFor(fact, spec)
  let loudest: { readonly signal: Signal; readonly level: VerdictLevel } | null = null
  for (const one of signals) {
    const level = levelOf(one.count, thresholds[one.form])
    if (level !== null && isLouder(level, loudest?.level ?? null)) loudest = { signal: one, level }
  }
  // Only a call shows that the calls are well again; talk says nothing about them.
  if (loudest === null)
    return { state: fact.kind === 'tool' && state.said !== null ? { ...state, said: null } : state, verdict: null }
  const { signal: found, level } = loudest
  if (!isLouder(level, state.said)) return { state, verdict: null }
  const evidence = evidenceOf(found, state.memory.calls)
  return {
    state: { ...state, said: level },
    verdict: { fault: 'tool_loop', level, form: found.form, firstAt: found.since, evidence },
  }
}

function thresholdsFor(fact: RunFact, { thresholds, tools }: ToolLoopSpec): LoopThresholds {
  const own = fact.kind === 'tool' ? tools[fact.name]?.thresholds : undefined
  return own === undefined ? thresholds : { ...thresholds, ...own }
}
