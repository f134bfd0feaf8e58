import { expect, test } from 'vitest'
import { onGrid } from './grid.ts'

test.each([
  { name: 'a time on the grid stays', atMs: 15_000, isMs: 15_000 },
  { name: 'one ms later falls back on it', atMs: 15_001, isMs: 15_000 },
  { name: 'one ms before the next still does', atMs: 15_999, isMs: 15_000 },
  { name: 'the next is the next', atMs: 16_000, isMs: 16_000 },
])('$name', ({ atMs, isMs }) => {
  expect(onGrid(atMs, 5_000)).toBe(isMs)
})

test.each([200, 1_000, 3_333.3, 5_000, 15_000])(
  'with a period of %d ms the next time is always still to come',
  (periodMs) => {
    for (let nowMs = 1_700_000_000_000; nowMs < 1_700_000_000_000 + 3 * periodMs; nowMs += 0.7 + periodMs / 97) {
      const dueMs = onGrid(nowMs + periodMs, periodMs)
      expect(dueMs).toBeGreaterThan(nowMs)
      expect(dueMs).toBeLessThanOrEqual(nowMs + periodMs)
    }
  },
)
