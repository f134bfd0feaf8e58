import { expect, test } from 'vitest'
import { nearest } from './issue.ts'

test.each([
  ['replica', 'replicas'],
  ['Pools', 'pools'],
  ['xyz', null],
  ['p'.repeat(10_000), null],
])('%s is nearest to %s', (word, near) => {
  expect(nearest(word, ['replicas', 'pools'])).toBe(near)
})
