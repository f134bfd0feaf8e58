import { expect, test } from 'vitest'
import { poolRow } from '../../test/fixtures/specs.ts'
import type { PoolRow } from '../model/rows.ts'
import { Draft } from './outcome.ts'
import { holdPool, resumePool } from './pool-hold.ts'

function turn(pool: PoolRow, nowMs: number): { readonly pool: PoolRow; readonly id: string } {
  const draft = new Draft()
  holdPool(draft, { pool, nowMs }, 'three starts failed')
  const held = draft.pool ?? pool
  const [incident] = draft.incidents.values()
  resumePool(draft, { pool: held, nowMs, incidents: draft.incidents }, 'p/0 started')
  return { pool: draft.pool ?? held, id: incident?.id ?? 'none' }
}

test.each([
  { name: 'in one millisecond', laterMs: 0.4 },
  { name: 'in the next', laterMs: 1 },
  { name: 'in the one after', laterMs: 2 },
])('a pool that is held, resumed and held again $name has an incident for each', ({ laterMs }) => {
  const first = turn(poolRow(), 1_000.5)
  const second = turn(first.pool, 1_000.5 + laterMs)
  const third = turn(second.pool, 1_000.5 + laterMs)
  expect(new Set([first.id, second.id, third.id]).size).toBe(3)
})
