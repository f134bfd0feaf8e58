import { limits } from '../../../model/limits.ts'
import type { Novelty, SeenCall } from './memory.ts'
import { weightOf } from './streaks.ts'

/** Calls in a row that equal the one a period earlier. */
export interface Matches {
  readonly count: number
  /** Fact of the run at which the first round began. */
  readonly since: number
}

/** By period, from 1 to `limits.cyclePeriod`. */
export interface Cycles {
  /** Calls and their results. */
  readonly whole: readonly Matches[]
  /** Calls alone. */
  readonly requests: readonly Matches[]
}

const none: Matches = { count: 0, since: 0 }
const nothing: readonly Matches[] = Array.from({ length: limits.cyclePeriod }, () => none)

export const noCycles: Cycles = { whole: nothing, requests: nothing }

/** @param before  Calls remembered, newest last, without this one. */
export function foldCycles(cycles: Cycles, call: SeenCall, before: readonly SeenCall[], novelty: Novelty): Cycles {
  const weight = weightOf(novelty)
  return {
    whole: cycles.whole.map((matches, at) => {
      const earlier = before.at(-1 - at)
      return matched(matches, earlier, earlier?.request === call.request && earlier.answer === call.answer, 1)
    }),
    requests: cycles.requests.map((matches, at) => {
      const earlier = before.at(-1 - at)
      return matched(matches, earlier, earlier?.request === call.request, weight)
    }),
  }
}

function matched(matches: Matches, earlier: SeenCall | undefined, isSame: boolean, weight: number): Matches {
  if (!isSame || earlier === undefined) return none
  return matches.count === 0 ? { count: weight, since: earlier.at } : { ...matches, count: matches.count + weight }
}

export interface Rounds {
  readonly period: number
  /** Whole rounds, the first included; 0 without a cycle. */
  readonly count: number
  readonly since: number
}

/** The cycle with the most rounds. One call repeated is no cycle of several. */
export function mostRounds(matches: readonly Matches[]): Rounds {
  let best: Rounds = { period: 1, count: 0, since: 0 }
  const repeated = matches[0]?.count ?? 0
  for (const [at, { count, since }] of matches.entries()) {
    const period = at + 1
    if (period === 1 || count === 0 || repeated >= period) continue
    const rounds = Math.floor(count / period) + 1
    if (rounds > best.count) best = { period, count: rounds, since }
  }
  return best
}
