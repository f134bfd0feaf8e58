import type { PoolSpec } from '../model/pool.ts'
import type { PoolRow, ReplicaRow } from '../model/rows.ts'
import { backoffMs, chanceOf } from './backoff.ts'

/** When a lost process may be replaced (R5): the first in a quiet period at once, then exponential backoff with jitter. */
export function spawnTimeMs(replica: ReplicaRow, { recovery }: PoolSpec, nowMs: number): number {
  const recent = replica.replacedMs.filter((at) => nowMs - at < recovery.strikePeriodMs).length
  const chance = chanceOf(`${replica.name}#${replica.incarnation}`)
  return recent === 0 ? nowMs : nowMs + backoffMs(recent - 1, recovery.backoff, chance)
}

/** When the pool may spawn its next replacement: never more than `intensity` in any `intensityPeriodMs` (R5). */
export function poolSpawnTimeMs(pool: PoolRow, { recovery }: PoolSpec, nowMs: number): number {
  const blocking = pool.replacedMs.filter((at) => nowMs - at < recovery.intensityPeriodMs).at(-recovery.intensity)
  return blocking === undefined ? nowMs : blocking + recovery.intensityPeriodMs
}
