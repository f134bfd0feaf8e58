import { assertNever } from '../../model/assert.ts'
import type { ContextRemedy, ContextSpec, ContextVerdict, VerdictLevel } from '../../model/detect.ts'
import { isLouder, levelOf } from './level.ts'

/** What the context detector hears of one attempt. */
export type ContextFact =
  | { readonly kind: 'model'; readonly promptTokens: number | null; readonly window: number | null }
  /** The provider refused the prompt as too long; its words. */
  | { readonly kind: 'refused'; readonly message: string }
  /** The agent has compacted; null where it does not know the new size, which then the next prompt shows. */
  | { readonly kind: 'compacted'; readonly tokens: number | null }

/** One attempt since its context was last empty: a soft restart begins a new one. */
export interface ContextState {
  readonly promptTokens: number | null
  readonly window: number | null
  /** Growth of the newest steps, tokens, newest last; at most `growthKept`. */
  readonly growth: readonly number[]
  /** Prompts that a provider took. */
  readonly calls: number
  /** Tokens before a compaction whose effect is not known yet. */
  readonly compactedFrom: number | null
  readonly compactions: number
  readonly said: VerdictLevel | null
}

export const newContext: ContextState = {
  promptTokens: null,
  window: null,
  growth: [],
  calls: 0,
  compactedFrom: null,
  compactions: 0,
  said: null,
}

const growthKept = 5

export interface ContextFolded {
  readonly state: ContextState
  /** Only when the level rises, and for every refusal and failed compaction. */
  readonly verdict: ContextVerdict | null
}

export function foldContext(state: ContextState, fact: ContextFact, spec: ContextSpec): ContextFolded {
  if (!spec.enabled) return { state, verdict: null }
  switch (fact.kind) {
    case 'model':
      return foldPrompt(state, fact.promptTokens, fact.window ?? state.window, spec)
    case 'refused':
      return { state: { ...state, said: 'act' }, verdict: refusal(state, fact.message) }
    case 'compacted':
      return foldCompaction(state, fact.tokens, spec)
    default:
      return assertNever(fact)
  }
}

function refusal(state: ContextState, message: string): ContextVerdict {
  const words = `the provider refused the prompt as too long: ${message}`
  // Nothing was taken since the context was empty: no compaction makes the task itself smaller.
  if (state.calls === 0) {
    const evidence = [words, 'it was the first prompt of an empty context']
    return { fault: 'context_overflow', level: 'act', form: 'task_too_large', remedy: 'dead_letter', evidence }
  }
  return {
    fault: 'context_overflow',
    level: 'act',
    form: 'provider_refused',
    remedy: remedyOf(state),
    evidence: [words, sizeOf(state)],
  }
}

/** Compaction is tried once. */
function remedyOf({ compactions }: ContextState): ContextRemedy {
  return compactions === 0 ? 'compact' : 'soft_restart'
}

function foldCompaction(state: ContextState, tokens: number | null, spec: ContextSpec): ContextFolded {
  const compacted: ContextState = {
    ...state,
    compactions: state.compactions + 1,
    compactedFrom: state.promptTokens,
    growth: [],
    said: null,
  }
  return tokens === null ? { state: compacted, verdict: null } : judgedCompaction(compacted, tokens, spec)
}

function judgedCompaction(state: ContextState, tokens: number, { shrinkShare }: ContextSpec): ContextFolded {
  const before = state.compactedFrom
  const next: ContextState = { ...state, compactedFrom: null, promptTokens: tokens }
  if (before === null || tokens <= before * (1 - shrinkShare)) return { state: next, verdict: null }
  return {
    state: { ...next, said: 'act' },
    verdict: {
      fault: 'context_overflow',
      level: 'act',
      form: 'compaction_did_not_shrink',
      remedy: 'soft_restart',
      evidence: [`the compaction left ${tokens} of ${before} tokens; it must take off at least ${shrinkShare * 100} %`],
    },
  }
}

function foldPrompt(
  state: ContextState,
  tokens: number | null,
  window: number | null,
  spec: ContextSpec,
): ContextFolded {
  const taken: ContextState = { ...state, calls: state.calls + 1, window }
  if (tokens === null) return { state: taken, verdict: null }
  if (taken.compactedFrom !== null) {
    const judged = judgedCompaction(taken, tokens, spec)
    if (judged.verdict !== null) return judged
    return judgedPrompt({ ...judged.state, said: null }, spec)
  }
  const growth = state.promptTokens === null ? [] : [tokens - state.promptTokens]
  // A prompt that shrank by itself was another conversation, or the agent's own housekeeping.
  const kept = (growth[0] ?? 0) < 0 ? [] : [...state.growth, ...growth].slice(-growthKept)
  return judgedPrompt({ ...taken, promptTokens: tokens, growth: kept }, spec)
}

function judgedPrompt(state: ContextState, spec: ContextSpec): ContextFolded {
  const { promptTokens, window } = state
  if (promptTokens === null || window === null) return { state, verdict: null }
  const byShare = levelOf(promptTokens / window, spec.share)
  const ahead = promptTokens + spec.stepsAhead * medianGrowth(state.growth)
  // A forecast needs three steps, and a context that is at least noteworthy.
  const isForecast = byShare !== null && byShare !== 'act' && state.growth.length >= 3 && ahead >= window
  const level = isForecast ? 'act' : byShare
  if (level === null) return { state: { ...state, said: null }, verdict: null }
  if (!isLouder(level, state.said)) return { state, verdict: null }
  const growing = `at ${medianGrowth(state.growth)} tokens a step it is full within ${spec.stepsAhead} steps`
  return {
    state: { ...state, said: level },
    verdict: {
      fault: 'context_overflow',
      level,
      form: isForecast ? 'growing_towards_window' : 'near_window',
      remedy: remedyOf(state),
      evidence: isForecast ? [sizeOf(state), growing] : [sizeOf(state)],
    },
  }
}

function medianGrowth(growth: readonly number[]): number {
  return growth.toSorted((a, b) => a - b)[Math.floor((growth.length - 1) / 2)] ?? 0
}

function sizeOf({ promptTokens, window }: ContextState): string {
  if (promptTokens === null) return 'the size of the newest prompt is not known'
  if (window === null) return `the newest prompt had ${promptTokens} tokens; the window is not known`
  return `the newest prompt had ${promptTokens} tokens, ${Math.floor((100 * promptTokens) / window)} % of a window of ${window}`
}
