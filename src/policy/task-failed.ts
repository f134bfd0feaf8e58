import type { ErrorInfo } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { AttemptRow, Ending, FailureMark } from '../model/rows.ts'
import { endAttempt } from './attempts.ts'
import { dependencyOf } from './evidence.ts'
import { excuseFor, pointedAt } from './excuse.ts'
import { mended } from './hint.ts'
import { Draft, type Outcome, type View } from './outcome.ts'
import { overspent, spentBy } from './use.ts'

/** `run()` rejected. Nothing is done about it by itself; but while what it needs is down it is nobody's fault (R2). */
export function taskFailed(view: View, attempt: AttemptRow, error: ErrorInfo): Outcome {
  const { pool, spec, nowMs } = view
  const draft = new Draft()
  const dependency = pointedAt(view, attempt, dependencyOf(attempt, error))
  const excuse = excuseFor(view, attempt, dependency)
  const over = overspent(spentBy(attempt, nowMs), spec, nowMs)
  const why = [...(over?.evidence ?? []), ...(excuse === null ? [] : [`${excuse}: not counted`])]
  const evidence = [`run() failed: ${error.message}`, ...why]
  const counted = excuse === null && over === null
  const outcome = over === null ? 'failed' : 'budget_exceeded'
  const ending: Ending = { outcome, counted, lost: false, error, evidence, finish: null }
  endAttempt(draft, view, attempt, ending)
  mended(draft, view, attempt, `its attempt is over: run() failed`)
  if (dependency === null) return draft.finish()
  const mark: FailureMark = {
    ...{ atMs: nowMs, kind: 'task_failed', replica: attempt.replica, taskId: attempt.taskId, dependency },
    ...{ suspects: [attempt.taskId], awaited: [], counted, lost: false },
  }
  const recent = pool.marks.filter((old) => nowMs - old.atMs < spec.recovery.strikePeriodMs)
  draft.pool = { ...(draft.pool ?? pool), marks: [...recent, mark].slice(-limits.failureMarks) }
  return draft.finish()
}
