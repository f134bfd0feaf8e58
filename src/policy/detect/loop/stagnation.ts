import type { Novelty, SeenCall } from './memory.ts'
import { noStreak, type Streak } from './streaks.ts'

/**
 * Stall points since the last new result: the net under the named forms, for
 * runs that bring nothing new in no particular order.
 */
const points = {
  /** A call made before, with a result seen before. */
  repeat: 1,
  /** A failure with a new error, or of a new call: the agent tries something, without success. */
  failure: 0.5,
  /** A known call with an error not seen before. */
  newError: 0.5,
  /** An answer in words, without a call. */
  talk: 0.5,
  /** A new call with a success seen before: `ok` of a batch. It proves neither progress nor its absence. */
  acknowledged: 0,
} as const

export function foldStagnation(streak: Streak, { at, fact }: SeenCall, novelty: Novelty): Streak {
  if (!fact.isError && novelty.isNewResult) return noStreak
  return stalled(streak, at, pointsOf(fact.isError, novelty))
}

export function stalledByTalk(streak: Streak, at: number): Streak {
  return stalled(streak, at, points.talk)
}

function pointsOf(isError: boolean, { isNewRequest, isNewResult }: Novelty): number {
  if (isNewRequest) return isError ? points.failure : points.acknowledged
  return isNewResult ? points.newError : points.repeat
}

function stalled(streak: Streak, at: number, by: number): Streak {
  return streak.count === 0 ? { key: '', count: by, since: at } : { ...streak, count: streak.count + by }
}
