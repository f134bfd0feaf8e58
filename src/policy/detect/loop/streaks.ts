import { limits } from '../../../model/limits.ts'
import type { ModelFact } from '../../../model/run.ts'
import { isEmpty, type Novelty, type SeenCall } from './memory.ts'

/** Facts in a row that have `key` in common. */
export interface Streak {
  readonly key: string
  readonly count: number
  /** Fact of the run, from 0, at which it began. */
  readonly since: number
}

export const noStreak: Streak = { key: '', count: 0, since: 0 }

/** Arguments that grow. Chance makes lengths grow as well, so one call does not count until the texts show it. */
export interface Growth extends Streak {
  /** Every text is the one before it with something put in. */
  readonly isShown: boolean
}

/** Streaks of calls. Talk in between does not end one: an agent that comments on its loop is still in it. */
export interface CallStreaks {
  readonly sameError: Streak
  readonly growing: Growth
  readonly sameAnswer: Streak
  readonly digitsOnly: Streak
  readonly sameRequest: Streak
}

export const noCallStreaks: CallStreaks = {
  sameError: noStreak,
  growing: { ...noStreak, isShown: true },
  sameAnswer: noStreak,
  digitsOnly: noStreak,
  sameRequest: noStreak,
}

export function foldStreaks(
  streaks: CallStreaks,
  call: SeenCall,
  last: SeenCall | undefined,
  novelty: Novelty,
): CallStreaks {
  return {
    sameError: foldError(streaks.sameError, call, last),
    growing: foldGrowing(streaks.growing, call, last),
    sameAnswer: foldAnswer(streaks.sameAnswer, call, last),
    digitsOnly: foldDigits(streaks.digitsOnly, call, last),
    sameRequest: going(streaks.sameRequest, call.request, call.at, weightOf(novelty)),
  }
}

/** New results under new words are an agent that works through what it gets; half of that may still be a loop. */
export function weightOf({ isNewResult, isTextOld }: Novelty): number {
  return isNewResult && !isTextOld ? 0.5 : 1
}

/** One tool with one error, or one call that fails whatever the error says. */
function foldError(streak: Streak, call: SeenCall, last: SeenCall | undefined): Streak {
  // An exit code without a word (grep finds nothing) says nothing about being the *same* error.
  if (!call.fact.isError || isEmpty(call)) return noStreak
  const goesOn = streak.count > 0 && last?.request === call.request
  return goesOn ? { ...streak, key: call.answer, count: streak.count + 1 } : going(streak, call.answer, call.at, 1)
}

function foldGrowing(streak: Growth, call: SeenCall, last: SeenCall | undefined): Growth {
  const begun: Growth = { key: call.answer, count: 1, since: call.at, isShown: true }
  if (last === undefined || streak.key !== call.answer) return begun
  const [before, now] = [last.fact.argsLength, call.fact.argsLength]
  if (now <= before || now > before * limits.growthFactor) return begun
  const isShown = streak.isShown && isPutIn(last.fact.argsText, call.fact.argsText)
  return { ...streak, count: streak.count + 1, isShown }
}

/** Whether `longer` is `shorter` with something put in at one place. */
function isPutIn(shorter: string | null, longer: string | null): boolean {
  if (shorter === null || longer === null) return false
  let head = 0
  while (head < shorter.length && shorter[head] === longer[head]) head++
  let tail = 0
  while (tail < shorter.length - head && shorter.at(-1 - tail) === longer.at(-1 - tail)) tail++
  return head + tail === shorter.length
}

/** What the growth counts: its calls, or one less while only their lengths say so. */
export function growthOf({ count, since, isShown }: Growth): Pick<Streak, 'count' | 'since'> {
  return { count: isShown || count < 2 ? count : count - 1, since }
}

function foldAnswer(streak: Streak, call: SeenCall, last: SeenCall | undefined): Streak {
  if (streak.key === call.answer && last?.request === call.request) return streak // `same_call` counts that.
  return going(streak, call.answer, call.at, 1)
}

function foldDigits(streak: Streak, call: SeenCall, last: SeenCall | undefined): Streak {
  const key = `${call.request} ${call.fact.resultNhash}`
  if (streak.key === key && last?.fact.resultHash === call.fact.resultHash) return streak // To the letter: likewise.
  return going(streak, key, call.at, 1)
}

function going(streak: Streak, key: string, at: number, weight: number): Streak {
  return streak.key === key && streak.count > 0
    ? { ...streak, count: streak.count + weight }
    : { key, count: 1, since: at }
}

/** Answers without a call. */
export interface TalkStreaks {
  readonly talk: Streak
  readonly monologue: Streak
}

export const noTalk: TalkStreaks = { talk: noStreak, monologue: noStreak }

/** An answer with neither text nor call ends a turn; one whose calls nobody knows says nothing. */
export function isTalk({ toolCalls, textLength }: ModelFact): boolean {
  return toolCalls === 0 && textLength > 0
}

export function foldTalk(streaks: TalkStreaks, fact: ModelFact, at: number): TalkStreaks {
  if (fact.toolCalls !== null && fact.toolCalls > 0) return noTalk
  if (!isTalk(fact)) return streaks
  return {
    talk: going(streaks.talk, 'talk', at, 1),
    monologue: fact.textHash === null ? noStreak : going(streaks.monologue, fact.textHash, at, 1),
  }
}
