import { expect, test } from 'vitest'
import { createClock } from './clock.ts'

function sources() {
  const at = { wallMs: 1_000_000, monotonicMs: 500, bootMs: 900 as number | null }
  return {
    at,
    clock: createClock({ wallMs: () => at.wallMs, monotonicMs: () => at.monotonicMs, bootMs: () => at.bootMs }),
  }
}

test('wall time at start and monotonic time since: a wall clock that jumps changes nothing', () => {
  const { at, clock } = sources()
  expect(clock.nowMs()).toBe(1_000_000)
  at.wallMs -= 3_600_000
  at.monotonicMs += 10
  expect(clock.nowMs()).toBe(1_000_010)
})

test.each([
  { name: 'the time in suspend counts', sleptMs: 30_000, seenMs: 30_000 },
  { name: 'the grain of boot time does not', sleptMs: 50, seenMs: 0 },
  { name: 'one ms above the grain does', sleptMs: 51, seenMs: 51 },
])('$name', ({ sleptMs, seenMs }) => {
  const { at, clock } = sources()
  at.monotonicMs += 100
  at.bootMs = 900 + 100 + sleptMs
  expect(clock.nowMs()).toBe(1_000_100 + seenMs)
  // Seen once, not again and again; and never taken back.
  at.monotonicMs += 100
  at.bootMs += 100 - 10
  expect(clock.nowMs()).toBe(1_000_200 + seenMs)
})

test('where boot time is not told it goes on without', () => {
  const clock = createClock({ wallMs: () => 1, monotonicMs: () => 5, bootMs: () => null })
  expect(clock.nowMs()).toBe(1)
})

test('sleeps until, not shorter; at once when past; early when aborted', async () => {
  const clock = createClock()
  const never = new AbortController().signal
  const atMs = clock.nowMs() + 30
  await clock.sleepUntil(atMs, never)
  expect(clock.nowMs()).toBeGreaterThanOrEqual(atMs)
  await clock.sleepUntil(atMs - 1_000, never)
  const stop = new AbortController()
  const sleep = clock.sleepUntil(clock.nowMs() + 3_600_000, stop.signal)
  stop.abort()
  await sleep
  await clock.sleepUntil(clock.nowMs() + 3_600_000, stop.signal)
})
