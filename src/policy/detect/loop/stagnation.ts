import { isEmpty, type Novelty, type RunMemory, type SeenCall } from './memory.ts'
import { noStreak, type Streak } from './streaks.ts'

/**
 * Stall points since the last new result: the net under the named forms, for
 * runs that bring nothing new in no particular order.
 */
const points = {
  /** A call made before, with a result seen before; or a new call that runs into a known error. */
  repeat: 1,
  /** A failure with a new error, or without a word: the agent tries something, without success. */
  failure: 0.5,
  /** A known result in other digits: a counter that moves, maybe by itself. */
  digits: 0.5,
  /** An answer in words, without a call. */
  talk: 0.5,
  /** Neither progress nor its absence: `ok` to a new call of a batch; a test that fails differently after an edit. */
  neutral: 0,
} as const

export function foldStagnation(streak: Streak, call: SeenCall, memory: RunMemory, novelty: Novelty): Streak {
  if (!call.fact.isError && novelty.isNewResult) return noStreak
  return stalled(streak, call.at, pointsOf(call, memory, novelty))
}

export function stalledByTalk(streak: Streak, at: number): Streak {
  return stalled(streak, at, points.talk)
}

function pointsOf(call: SeenCall, memory: RunMemory, { isNewRequest, isNewResult }: Novelty): number {
  const { isError, resultHash } = call.fact
  if (isNewResult) return points.failure
  if (isNewRequest) return !isError ? points.neutral : isEmpty(call) ? points.failure : points.repeat
  const last = memory.calls.findLast(({ request }) => request === call.request)
  if (last === undefined || last.fact.resultHash === resultHash) return points.repeat
  return memory.productiveAt > last.at ? points.neutral : points.digits
}

function stalled(streak: Streak, at: number, by: number): Streak {
  return streak.count === 0 ? { key: '', count: by, since: at } : { ...streak, count: streak.count + by }
}
