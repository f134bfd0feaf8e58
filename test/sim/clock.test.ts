import { expect, test } from 'vitest'
import { SimClock } from './clock.ts'
import { createRandom } from './random.ts'

test('events happen in the order of their time, and of their asking within one instant', () => {
  const clock = new SimClock(0)
  const random = createRandom(3)
  const expected: { readonly atMs: number; readonly order: number }[] = []
  const seen: number[] = []
  for (let order = 0; order < 500; order++) {
    const atMs = random.between(1, 50)
    expected.push({ atMs, order })
    clock.at(atMs, () => seen.push(order))
  }
  for (let atMs = clock.nextMs; atMs !== Number.POSITIVE_INFINITY; atMs = clock.nextMs) clock.advanceTo(atMs)
  expect(seen).toEqual(expected.toSorted((a, b) => a.atMs - b.atMs || a.order - b.order).map(({ order }) => order))
  expect(clock.nowMs()).toBe(50)
})

test('what is asked for now happens in the same instant, and time stands still for it', () => {
  const clock = new SimClock(10)
  const seen: number[] = []
  clock.at(20, () => clock.after(0, () => seen.push(clock.nowMs())))
  clock.advanceTo(20)
  expect(seen).toEqual([20])
})

test('a sleep ends at its time, or at once by its signal', async () => {
  const clock = new SimClock(0)
  const abort = new AbortController()
  const woken: string[] = []
  const sleeps = [
    clock.sleepUntil(5, new AbortController().signal).then(() => woken.push('time')),
    clock.sleepUntil(9, abort.signal).then(() => woken.push('signal')),
  ]
  clock.advanceTo(5)
  abort.abort()
  await Promise.all(sleeps)
  expect(woken).toEqual(['time', 'signal'])
})
