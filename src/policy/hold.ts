import type { ReplicaName } from '../model/ids.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow, DependencyRow, PoolRow, ReplicaRow } from '../model/rows.ts'
import { chanceOf } from './backoff.ts'
import { isDoubtful, isDown, isTried, reasonOf } from './breaker.ts'

/** Share of its places that a pool gets at once when its dependency is back: the first tasks are the test. */
const firstShare = 0.1
/** Pools that share a dependency do not come back in step: each begins up to this much later, ms. */
const staggerMs = 500

export type Dependencies = ReadonlyMap<string, DependencyRow>

/** Whether a pool that depends on it must wait: model providers and critical ones; another one only degrades it. */
export function isGating({ spec }: DependencyRow): boolean {
  return spec.critical || spec.role === 'model_provider'
}

/** The dependency for which the pool is held (R2), or null. */
export function holdingDependency(spec: PoolSpec, dependencies: Dependencies): DependencyRow | null {
  for (const name of spec.dependsOn) {
    const row = dependencies.get(name)
    if (row !== undefined && isDown(row) && isGating(row)) return row
  }
  return null
}

/** The dependency that alone holds the pool, or null. */
export function heldOnlyBy(spec: PoolSpec, dependencies: Dependencies): DependencyRow | null {
  const holding = spec.dependsOn.flatMap((name) => {
    const row = dependencies.get(name)
    return row !== undefined && isDown(row) && isGating(row) ? [row] : []
  })
  return holding.length === 1 ? (holding[0] ?? null) : null
}

/** The one that holds the pool and that one of its tasks may try, or null. */
export function triedDependency(spec: PoolSpec, dependencies: Dependencies): DependencyRow | null {
  const row = heldOnlyBy(spec, dependencies)
  return row !== null && isTried(row) ? row : null
}

/** Whether it has work that could try what holds it, now or when what is under way has failed. */
export function canTake({ hold, depth }: PoolRow, inHand: number): boolean {
  return hold === null && depth.queued + depth.scheduled + inHand > 0
}

export function holdReason(row: DependencyRow): string {
  const what = row.spec.role === 'model_provider' ? 'model provider' : 'dependency'
  return `${what} ${row.spec.name}: ${reasonOf(row)}`
}

/** Every dependency that is down: a task that needs one waits, whatever its pool does. */
export function downNames(dependencies: Dependencies): readonly string[] {
  const names: string[] = []
  for (const [name, row] of dependencies) if (isDown(row)) names.push(name)
  return names
}

/** Replicas that fail on what their pool depends on, before it is known why. */
export function doubtfulReplicas(
  replicas: readonly ReplicaRow[],
  spec: PoolSpec,
  dependencies: Dependencies,
  nowMs: number,
): ReadonlySet<ReplicaName> {
  const needed = spec.dependsOn.flatMap((name) => dependencies.get(name) ?? [])
  const names = replicas.map(({ name }) => name)
  return new Set(names.filter((name) => needed.some((row) => isDoubtful(row, name, nowMs))))
}

/**
 * The dependency that is down and that the attempt waits for, or null. What its
 * open calls name counts; where they name nothing, all that its pool and its task
 * need: its clocks stand still, and it is not blamed for standing still (R2).
 */
export function waitsFor(attempt: AttemptRow, spec: PoolSpec, dependencies: Dependencies): DependencyRow | null {
  const named = attempt.calls.flatMap(({ dependency }) => (dependency === null ? [] : [dependency]))
  const names = named.length > 0 ? named : [...spec.dependsOn, ...attempt.needs]
  for (const name of names) {
    const row = dependencies.get(name)
    if (row !== undefined && isDown(row)) return row
  }
  return null
}

/**
 * How many attempts the pool may have in hand `nowMs` after a hold: a tenth of
 * its places at first, then more and more, all after `rampMs` (R2: a ramp, not
 * all at once). `null`: no limit any more.
 */
export function thawLimit(pool: PoolRow, places: number, nowMs: number): number | null {
  if (pool.thaw === null) return null
  const sinceMs = nowMs - pool.thaw.sinceMs - staggerMs * chanceOf(pool.name)
  if (sinceMs < 0) return 0
  const share = firstShare + (1 - firstShare) * (sinceMs / pool.thaw.rampMs)
  return share >= 1 ? null : Math.max(1, Math.floor(places * share))
}
