import type { AttemptRow, DependencyRow, FailureMark } from '../model/rows.ts'
import { isAccused, isDown } from './breaker.ts'
import { anyDependency } from './evidence.ts'
import { holdingDependency } from './hold.ts'
import type { View } from './outcome.ts'

/** Words that name nothing, where only one dependency can be meant, mean that one. */
export function pointedAt(view: View, attempt: AttemptRow, dependency: string | null): string | null {
  if (dependency !== anyDependency) return dependency
  const names = new Set(suspectsOf(view, attempt, dependency).map(({ spec }) => spec.name))
  const [only] = names
  return only !== undefined && names.size === 1 ? only : dependency
}

/**
 * Why a failure with this evidence costs its task nothing: what it needs is down;
 * or it may be, and this would be the task's last attempt, which no verdict could
 * give back: its check has not yet spoken for it, or several replicas fail on it.
 */
export function excuseFor(view: View, attempt: AttemptRow, dependency: string | null): string | null {
  const { spec, dependencies } = view
  const isDownForIt = 'what it needs is down'
  if (dependency === null) return holdingDependency(spec, dependencies) === null ? null : isDownForIt
  const suspects = suspectsOf(view, attempt, dependency)
  if (suspects.some(isDown)) return isDownForIt
  if (suspects.length === 0 && holdingDependency(spec, dependencies) !== null) return isDownForIt
  if (isBeingRecycledFor(view, dependency)) return 'its replica alone cannot reach what it needs'
  if (attempt.countedAttempts + 1 < spec.retry.attempts) return null
  const isOfIt = (mark: FailureMark): boolean => mark.taskId === attempt.taskId && mark.dependency === dependency
  const sinceMs = view.pool.marks.find(isOfIt)?.atMs ?? view.nowMs
  const isUnheard = suspects.some(({ last }) => last?.result.ok !== true || last.atMs <= sinceMs)
  // Others fail on it as well: not for ever, since it may be this task that upsets it.
  const isShared = suspects.some((row) => isAccused(row, view.nowMs)) && attempt.attempt < 2 * spec.retry.attempts
  const isDoubtful = isUnheard || isShared
  return isDoubtful ? 'nobody knows yet whether what it needs is down' : null
}

/** What it still has in hand while it is replaced for its lost connections fails for them, too. */
function isBeingRecycledFor({ replica, incident }: View, dependency: string): boolean {
  if (replica.phase.kind !== 'draining' || incident === null) return false
  return incident.fault.culprit === 'agent' && incident.dependency === dependency
}

/** The dependencies that a failure points to: the one it names, or all that its pool and its task need. */
function suspectsOf({ spec, dependencies }: View, { needs }: AttemptRow, dependency: string): readonly DependencyRow[] {
  const names = dependency === anyDependency ? [...spec.dependsOn, ...needs] : [dependency]
  return names.flatMap((name) => dependencies.get(name) ?? [])
}
