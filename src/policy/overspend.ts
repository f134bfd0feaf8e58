/**
 * Budgets of tasks and processes, as their attempts report what they use. The
 * agent's word comes after each call, so the one that reaches the limit is the
 * last that may be answered for: at the next thing the attempt does it is
 * stopped, and its task waits for a person. One call over, at most.
 */
import type { BudgetVerdict } from '../model/detect.ts'
import type { AttemptObservation, ModelUsage } from '../model/observation.ts'
import type { AttemptRow, Ending } from '../model/rows.ts'
import { type Cost, costOf, plus, type Spent } from '../model/spent.ts'
import { askToReset, revokeAttempt } from './attempts.ts'
import { checkBudget, newAccount, spend } from './detect/budget.ts'
import { mended, openHint } from './hint.ts'
import { waitsFor } from './hold.ts'
import { Draft, type Outcome, type View } from './outcome.ts'
import { bookPool } from './pool-budget.ts'
import { onFault } from './recover.ts'
import { blameSpender } from './task-incident.ts'
import { isCounted, judgeSpent, spentBy } from './use.ts'
import { newGauges } from './watch.ts'

/** What an attempt did next, and what it cost. Null: it says nothing about budgets. */
export function onUse(view: View, attempt: AttemptRow, observation: AttemptObservation): Outcome | null {
  const isCall = observation.kind === 'model_called'
  if (!isCall && observation.kind !== 'call_started') return null
  const isRunning = attempt.phase.kind !== 'returning'
  const wasOver = isRunning && judgeSpent(attempt.use.spent, view.spec, view.nowMs)?.level === 'act'
  if (!isCall && !wasOver) return null
  const draft = new Draft()
  if (isCall) book(draft, view, attempt, observation)
  const booked = draft.attempt(attempt)
  const verdict = wasOver ? judgeSpent(spentBy(booked, view.nowMs), view.spec, view.nowMs) : null
  if (verdict !== null) stop(draft, view, booked, verdict)
  return draft.finish()
}

function book(
  draft: Draft,
  view: View,
  attempt: AttemptRow,
  { usage }: AttemptObservation & { readonly kind: 'model_called' },
): void {
  const cost = costOf(usage)
  const { use } = attempt
  draft.setAttempt({
    ...attempt,
    use: { ...use, spent: plus(use.spent, cost), calls: use.calls + 1, isWritten: false },
  })
  bookShared(draft, view, cost)
}

/** A call of which nobody knows the attempt: it counts for replica, pool and day. */
export function bookApart(view: View, usage: ModelUsage): Outcome {
  const draft = new Draft()
  bookShared(draft, view, costOf(usage))
  return draft.finish()
}

function bookShared(draft: Draft, view: View, cost: Cost): void {
  const { replica, nowMs } = view
  bookPool(draft, view, cost)
  const gauges = gaugesOf(view)
  draft.setGauges(replica.name, { ...gauges, spent: spend(gauges.spent, cost, nowMs) })
}

function gaugesOf({ replica, gauges }: View) {
  return gauges?.incarnation === replica.incarnation ? gauges : newGauges(replica.incarnation)
}

/** No strike: the task is guilty. Its journal is kept. */
function stop(draft: Draft, view: View, attempt: AttemptRow, verdict: BudgetVerdict): void {
  const { nowMs, spec } = view
  if (attempt.use.said === 'act') return
  draft.setAttempt({ ...attempt, use: { ...attempt.use, said: 'act' } })
  const { evidence } = verdict
  const reason = evidence[0] ?? 'the budget is used up'
  if (spec.recovery.mode === 'observe') return openHint(draft, view, attempt, { kind: 'hold', ...verdict })
  blameSpender(draft, { pool: spec.name, taskId: attempt.taskId, nowMs }, verdict)
  const error = { name: 'BudgetExceededError', message: reason, code: 'PRUNELLA_BUDGET_EXCEEDED' }
  const ending: Ending = {
    ...{ outcome: 'budget_exceeded', counted: false, lost: false, error, evidence, finish: null },
  }
  revokeAttempt(draft, attempt, ending, nowMs + spec.recovery.resetMs)
  askToReset(draft, view, attempt, `its budget is used up: ${reason}`)
  mended(draft, view, attempt, 'its attempt is over: the budget of its task is used up')
}

/** What budgets want without news: the first attempt with something due, and when to look again. */
export function budgetsDue(view: View): { readonly outcome: Outcome | null; readonly wakeAtMs: number } {
  const process = processDue(view)
  if (process !== null) return { outcome: process, wakeAtMs: view.nowMs }
  let wakeAtMs = Number.POSITIVE_INFINITY
  for (const attempt of view.attempts) {
    const outcome = attemptDue(view, attempt)
    if (outcome !== null) return { outcome, wakeAtMs }
    wakeAtMs = Math.min(wakeAtMs, timeWakeMs(view, attempt))
  }
  return { outcome: null, wakeAtMs }
}

function attemptDue(view: View, attempt: AttemptRow): Outcome | null {
  const { pool, spec, nowMs } = view
  const { phase, use } = attempt
  if (phase.kind === 'returning') return null
  const draft = new Draft()
  const verdict = judgeSpent(spentSoFar(view, attempt), spec, nowMs)
  // Once it has called, its next deed stops it: the answer to its last call may be all it needs.
  const mayGoOn = use.calls > 0 && verdict?.unit !== 'timeMs'
  if (verdict?.level === 'act' && !mayGoOn && use.said !== 'act') stop(draft, view, attempt, verdict)
  else if (pool.hold?.cause === 'budget' && use.calls > 0) giveBack(draft, view, attempt, pool.hold.reason)
  else if (verdict?.level === 'nudge' && use.said === null && spec.recovery.nudge) tell(draft, view, attempt, verdict)
  else if (!use.isWritten && isCounted(spec, ['task'])) write(draft, view, attempt)
  else return null
  return draft.finish()
}

/** The pool's budget is used up: who has called may call again, so it goes back, uncounted, until the pool goes on. */
function giveBack(draft: Draft, view: View, attempt: AttemptRow, reason: string): void {
  const ending: Ending = {
    ...{ outcome: 'returned', counted: false, lost: false, error: null, evidence: [reason], finish: null },
  }
  revokeAttempt(draft, attempt, ending, view.nowMs + view.spec.recovery.resetMs)
  askToReset(draft, view, attempt, reason)
}

function tell(draft: Draft, view: View, attempt: AttemptRow, verdict: BudgetVerdict): void {
  const { taskId, fence, replica, incarnation } = attempt
  const text = `Your budget is nearly used up: ${verdict.evidence[0]}. Give your answer now; at the limit you are stopped.`
  draft.setAttempt({ ...attempt, use: { ...attempt.use, said: 'nudge' } })
  if (view.spec.recovery.mode === 'act') draft.effect({ kind: 'nudge', replica, incarnation, taskId, fence, text })
  openHint(draft, view, attempt, { kind: 'nudge', ...verdict })
}

/** The next supervisor must not begin at nothing. */
function write(draft: Draft, view: View, attempt: AttemptRow): void {
  const { taskId, fence, use } = attempt
  draft.setAttempt({ ...attempt, use: { ...use, isWritten: true } })
  draft.change({ kind: 'spend', taskId, fence, spent: spentBy(attempt, view.nowMs) })
}

/** A dependency that is down stops the clock (R2); what stood still is given back when it returns. */
function spentSoFar({ spec, dependencies, nowMs }: View, attempt: AttemptRow): Spent {
  const isLimited = spec.detect.budget.limits.task.timeMs !== null
  return isLimited && waitsFor(attempt, spec, dependencies) !== null ? attempt.use.spent : spentBy(attempt, nowMs)
}

function timeWakeMs(view: View, attempt: AttemptRow): number {
  const { spec, nowMs, dependencies } = view
  const { enabled, limits, share } = spec.detect.budget
  const limitMs = limits.task.timeMs
  if (!enabled || limitMs === null || attempt.phase.kind !== 'running') return Number.POSITIVE_INFINITY
  if (waitsFor(attempt, spec, dependencies) !== null) return Number.POSITIVE_INFINITY
  const leftMs = (part: number) => limitMs * part - spentBy(attempt, nowMs).timeMs
  const next = [leftMs(share.nudge), leftMs(share.act)].find((ms) => ms > 0)
  // A rounding must not make it look again and again within the same moment.
  return next === undefined ? Number.POSITIVE_INFINITY : nowMs + Math.ceil(next)
}

/** A process that has used up its own budget over several tasks is replaced: what it carries along may be what costs. */
function processDue(view: View): Outcome | null {
  const { replica, nowMs, spec } = view
  const gauges = gaugesOf(view)
  const verdict = checkBudget([gauges.spent], spec.detect.budget, nowMs)
  if (verdict?.level !== 'act' || replica.phase.kind !== 'ready') return null
  const attempt = view.attempts.find(({ phase, use }) => phase.kind !== 'returning' && use.calls > 0) ?? null
  const outcome = onFault(view, {
    kind: verdict.fault,
    evidence: verdict.evidence,
    firstSignMs: nowMs,
    attempt,
    error: { name: verdict.fault, message: verdict.evidence[0] ?? verdict.fault },
    gone: false,
    needsHard: true,
  })
  // A pool that only observes counts on from nothing.
  return { ...outcome, gauges: [...outcome.gauges, [replica.name, { ...gauges, spent: newAccount('replica', nowMs) }]] }
}
