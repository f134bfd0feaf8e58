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
 * is left in peace (R1).
 */
export function onlyItself(view: View, attempt: AttemptRow, observation: AttemptObservation): Outcome | null {
  const seen = sightingOf(observation, attempt)
  if (seen === null || seen.ok || view.replica.phase.kind !== 'ready') return null
  const row = view.dependencies.get(seen.dependency)
  if (row === undefined || !isReplicasOwnFault(row, view.replica.name)) return null
  const witness = row.witnesses[view.replica.name]
  const { name } = row.spec
  const evidence = [
    `${witness?.failures ?? 0} calls in a row of ${view.replica.name} failed on ${name}, and those of its siblings did not`,
  ]
  const outcome = onFault(view, {
    kind: faultKindOf(row),
    evidence,
    firstSignMs: witness?.firstFailureMs ?? view.nowMs,
    attempt: null,
    error: { name: 'DependencyError', message: evidence[0] ?? name, dependency: name },
    gone: false,
    needsHard: true,
  })
  // Its next process begins with a clean slate.
  return { ...outcome, dependencies: [...outcome.dependencies, withoutWitness(row, view.replica.name)] }
}
