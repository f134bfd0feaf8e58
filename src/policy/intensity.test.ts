import { expect, test } from 'vitest'
import { poolRow, poolSpec, readyReplica } from '../../test/fixtures/specs.ts'
import { backoffMs, chanceOf } from './backoff.ts'
import { poolSpawnTimeMs, spawnTimeMs } from './intensity.ts'

const spec = poolSpec()

test.each([
  { name: 'the first in a quiet period is immediate', replaced: [], poolReplaced: [], atMs: 0 },
  { name: 'then 1 s', replaced: [-1], poolReplaced: [], atMs: 1_000 },
  { name: 'then 2 s', replaced: [-2, -1], poolReplaced: [], atMs: 2_000 },
  { name: 'a replacement as old as the period is forgotten', replaced: [-600_000], poolReplaced: [], atMs: 0 },
  { name: 'nine of the pool do not pace', replaced: [], poolReplaced: Array(9).fill(-10), atMs: 0 },
  {
    name: 'ten do: the eleventh waits until the first of them has left the period',
    replaced: [],
    poolReplaced: Array(10).fill(-10),
    atMs: 59_990,
  },
])('$name', ({ replaced, poolReplaced, atMs }) => {
  const row = readyReplica(0, { replacedMs: replaced })
  expect(Math.max(spawnTimeMs(row, spec, 0), poolSpawnTimeMs(poolRow({ replacedMs: poolReplaced }), spec, 0))).toBe(
    atMs,
  )
})

test('backoff is capped, and jitter takes away at most its share', () => {
  const backoff = { baseMs: 1_000, factor: 2, maxMs: 300_000, jitter: 0.5 }
  expect(backoffMs(50, backoff, 0)).toBe(300_000)
  expect(backoffMs(0, backoff, 0.999)).toBeGreaterThanOrEqual(500)
})

test('neighbours draw different lots, and everybody the same lot again', () => {
  const lots = Array.from({ length: 1_000 }, (_, at) => chanceOf(`p/${at}#1`))
  expect(new Set(lots).size).toBeGreaterThan(990)
  expect(Math.abs(lots.reduce((sum, lot) => sum + lot, 0) / lots.length - 0.5)).toBeLessThan(0.05)
  expect(chanceOf('p/1#1')).toBe(chanceOf('p/1#1'))
})
