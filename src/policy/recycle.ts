import type { AttemptObservation } from '../model/observation.ts'
import type { AttemptRow } from '../model/rows.ts'
import { isReplicasOwnFault, withoutWitness } from './breaker.ts'
import { faultKindOf } from './dependency.ts'
import { sightingOf } from './evidence.ts'
import type { Outcome, View } from './outcome.ts'
import { onFault } from './recover.ts'

/**
 * One replica that cannot reach what its siblings reach has lost something of
 * its own, e.g. its connections: it is drained and replaced, and the dependency
 * is left in peace (R1). Told by a call of its own that failed.
 */
export function onlyItself(view: View, attempt: AttemptRow, observation: AttemptObservation): Outcome | null {
  const seen = sightingOf(observation, attempt)
  return seen === null || seen.ok ? null : recycle(view, seen.dependency)
}

/** The same, told by the node's own check, which passed: there may be no task by which it could fail once more. */
export function recycle(view: View, dependency: string): Outcome | null {
  const row = view.dependencies.get(dependency)
  const { replica, nowMs } = view
  if (row === undefined || replica.phase.kind !== 'ready' || !isReplicasOwnFault(row, replica.name)) return null
  const witness = row.witnesses[replica.name]
  const { name } = row.spec
  const evidence = [
    `${witness?.failures ?? 0} calls in a row of ${replica.name} failed on ${name}, and those of its siblings did not`,
  ]
  const outcome = onFault(view, {
    kind: faultKindOf(row),
    evidence,
    firstSignMs: witness?.firstFailureMs ?? nowMs,
    attempt: null,
    error: { name: 'DependencyError', message: evidence[0] ?? name, dependency: name },
    gone: false,
    needsHard: true,
  })
  // Its next process begins with a clean slate.
  return { ...outcome, dependencies: [...outcome.dependencies, withoutWitness(row, replica.name)] }
}
