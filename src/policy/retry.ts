import type { NextState } from '../model/change.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow, Ending } from '../model/rows.ts'
import { backoffMs, chanceOf } from './backoff.ts'
import { heldFor, overspent, spentBy } from './use.ts'

/** For how long a task that came back by a fault waits for a replica other than the one that lost it, ms. */
export const avoidForMs = 10_000

/** What the retry policy says; `poison` asks the caller for contrast before anything is buried (R8). */
export type NextStep = { readonly kind: 'next'; readonly next: NextState } | { readonly kind: 'poison' }

/** Where a task goes when an attempt ends without a result. */
export function nextAfter(attempt: AttemptRow, ending: Ending, spec: PoolSpec, nowMs: number): NextStep {
  if (ending.finish === 'cancelled') return given({ status: 'cancelled', reason: 'cancelled by an operator' })
  if (ending.finish === 'deadline') return given(pastDeadline)
  if (ending.finish === 'too_large')
    return given({
      status: 'dead_letter',
      error: ending.error,
      reason: `context: ${ending.evidence[0] ?? 'the task is too large'}`,
    })
  if (ending.finish === 'held')
    return given({
      status: 'held',
      reason: 'it came back uncounted again and again: its lease ran out while it blocked or the supervisor was away',
    })
  const doubt = attempt.inDoubt[0]
  if (doubt !== undefined) {
    return given({
      status: 'held',
      reason: `step "${doubt.name}" (${doubt.key}) started and has no result: it must not be repeated unasked`,
    })
  }
  if (attempt.deadlineMs !== null && attempt.deadlineMs <= nowMs) return given(pastDeadline)
  const over = overspent(spentBy(attempt, nowMs), spec, nowMs)
  if (over !== null) return given({ status: 'held', reason: heldFor(over) })
  if (ending.counted && ending.lost && attempt.lostReplicas.length + 1 >= spec.recovery.poisonAfter)
    return { kind: 'poison' }
  const counted = attempt.countedAttempts + (ending.counted ? 1 : 0)
  if (ending.counted && counted >= spec.retry.attempts) {
    const error = ending.error ?? { name: 'AttemptsUsedUp', message: `ended as ${ending.outcome}` }
    return given({ status: 'failed', error, reason: `${counted} of ${spec.retry.attempts} attempts used up` })
  }
  return given({
    status: 'queued',
    notBeforeMs:
      ending.outcome === 'failed' ? nowMs + backoffMs(counted - 1, spec.retry.backoff, chanceOf(attempt.taskId)) : null,
    avoid: ending.outcome === 'returned' ? null : { replica: attempt.replica, untilMs: nowMs + avoidForMs },
  })
}

export const pastDeadline = {
  status: 'failed',
  error: { name: 'DeadlineExceeded', message: "the submitter's deadline has passed", code: 'deadline_exceeded' },
  reason: 'deadline_exceeded',
} as const

function given(next: NextState): NextStep {
  return { kind: 'next', next }
}
