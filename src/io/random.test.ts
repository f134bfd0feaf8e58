import { expect, test } from 'vitest'
import { createRandom } from './random.ts'

function at(nowMs: number, next = () => 0.5) {
  const time = { nowMs }
  const clock = { nowMs: () => time.nowMs, sleepUntil: () => Promise.resolve() }
  return { time, random: createRandom(clock, next) }
}

test('a prefix and 16 characters that sort by creation', () => {
  let step = 0
  const { time, random } = at(1_700_000_000_000, () => {
    step += 7
    return (step % 10) / 10
  })
  const ids: string[] = []
  for (let count = 0; count < 1_000; count += 1) {
    ids.push(random.id('t_'))
    if (count % 100 === 0) time.nowMs += 1
  }
  expect(ids[0]).toMatch(/^t_[0-9a-hjkmnp-tv-z]{16}$/)
  expect(new Set(ids).size).toBe(1_000)
  expect([...ids].sort()).toEqual(ids)
})

test('a clock that goes back does not break the order', () => {
  const { time, random } = at(2_000)
  const first = random.id('')
  time.nowMs = 1_000
  expect(random.id('') > first).toBe(true)
})

test('two processes in the same millisecond differ by chance', () => {
  expect(at(1_000, () => 0.1).random.id('')).not.toBe(at(1_000, () => 0.2).random.id(''))
})
