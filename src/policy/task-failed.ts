import type { ErrorInfo } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { AttemptRow, Ending, FailureMark } from '../model/rows.ts'
import { endAttempt } from './attempts.ts'
import { isDown } from './breaker.ts'
import { anyDependency, dependencyOf } from './evidence.ts'
import { mended } from './hint.ts'
import { holdingDependency } from './hold.ts'
import { Draft, type Outcome, type View } from './outcome.ts'

/** `run()` rejected. Nothing is done about it by itself; but while what it needs is down it is nobody's fault (R2). */
export function taskFailed(view: View, attempt: AttemptRow, error: ErrorInfo): Outcome {
  const { pool, spec, nowMs } = view
  const draft = new Draft()
  const dependency = dependencyOf(attempt, error)
  const excused = isExcused(view, dependency)
  const evidence = [`run() failed: ${error.message}`, ...(excused ? ['what it needs is down: not counted'] : [])]
  const ending: Ending = { outcome: 'failed', counted: !excused, lost: false, error, evidence, finish: null }
  endAttempt(draft, view, attempt, ending)
  mended(draft, view, attempt, `its attempt is over: run() failed`)
  if (dependency === null) return draft.finish()
  const mark: FailureMark = {
    ...{ atMs: nowMs, kind: 'task_failed', replica: attempt.replica, taskId: attempt.taskId, dependency },
    ...{ counted: !excused, lost: false },
  }
  const recent = pool.marks.filter((old) => nowMs - old.atMs < spec.recovery.strikePeriodMs)
  draft.pool = { ...(draft.pool ?? pool), marks: [...recent, mark].slice(-limits.failureMarks) }
  return draft.finish()
}

/** Whether a failure with this evidence falls to a dependency that is down. */
function isExcused(view: View, dependency: string | null): boolean {
  const holding = holdingDependency(view.spec, view.dependencies)
  if (dependency === null || dependency === anyDependency) return holding !== null
  const named = view.dependencies.get(dependency)
  return named === undefined ? holding !== null : isDown(named)
}
