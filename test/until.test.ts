import { expect, test } from 'vitest'
import { until } from './until.ts'

test('returns the first truthy value', async () => {
  let looks = 0
  const value = await until(() => (++looks === 3 ? `look ${looks}` : null), {
    timeoutMs: 5_000,
    what: 'the third look',
  })
  expect(value).toBe('look 3')
})

test('a look that throws counts as not yet', async () => {
  let looks = 0
  const look = async () => {
    if (++looks < 3) throw new Error('not there')
    return looks
  }
  await expect(until(look, { timeoutMs: 5_000, what: 'the file', everyMs: 1 })).resolves.toBe(3)
})

test('says what it waited for and what it saw last', async () => {
  const options = { timeoutMs: 5, what: 'an empty queue', everyMs: 1 }
  await expect(until(() => false, options)).rejects.toThrow('Waited 5 ms for an empty queue; last seen: false.')
  await expect(until(() => Promise.reject(new Error('refused')), options)).rejects.toThrow(
    'Waited 5 ms for an empty queue; the last look failed: Error: refused.',
  )
})
