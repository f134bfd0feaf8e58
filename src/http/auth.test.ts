import { beforeEach, expect, test } from 'vitest'
import { limits } from '../model/limits.ts'
import { type Auth, createAuth, isLoopback } from './auth.ts'

const right = 'Bearer right-token-right-token'
const wrong = 'Bearer wrong-token-wrong-token'
let nowMs = 0
let auth: Auth

beforeEach(() => {
  nowMs = 0
  const clock = { nowMs: () => nowMs, sleepUntil: async () => undefined }
  auth = createAuth([{ name: 'admin', role: 'admin', value: 'right-token-right-token' }], clock)
})

function fail(address: string, times: number): void {
  for (let count = 0; count < times; count++) expect(auth.identify(wrong, address)).toBeNull()
}

test('a right token is known, none and a wrong one are not', () => {
  expect(auth.identify(right, '10.0.0.1')).toEqual({ name: 'admin', role: 'admin' })
  expect(auth.identify('bearer right-token-right-token', '10.0.0.1')).not.toBeNull()
  expect(auth.identify(undefined, '10.0.0.1')).toBeNull()
  expect(auth.identify('Bearer right-token-right-toke', '10.0.0.1')).toBeNull()
})

test('after ten wrong ones an address is refused, right token or not, until a minute has passed', () => {
  fail('10.0.0.1', limits.wrongTokensPerMinute - 1)
  expect(auth.identify(right, '10.0.0.1')).not.toBeNull()
  fail('10.0.0.1', 1)
  expect(() => auth.identify(wrong, '10.0.0.1')).toThrow('Too many')
  expect(() => auth.identify(right, '10.0.0.1')).toThrow('Too many')
  expect(auth.identify(right, '10.0.0.2')).not.toBeNull()
  nowMs = 59_999
  expect(() => auth.identify(right, '10.0.0.1')).toThrow('Too many')
  nowMs = 60_000
  expect(auth.identify(right, '10.0.0.1')).not.toBeNull()
})

test('an agent on this machine cannot lock its operator out', () => {
  fail('127.0.0.1', limits.wrongTokensPerMinute)
  expect(() => auth.identify(wrong, '127.0.0.1')).toThrow('Too many')
  expect(auth.identify(right, '127.0.0.1')).not.toBeNull()
})

test('no token counts as nothing', () => {
  for (let count = 0; count < 20; count++) expect(auth.identify(undefined, '10.0.0.1')).toBeNull()
})

test('a short token is refused', () => {
  const clock = { nowMs: () => 0, sleepUntil: async () => undefined }
  expect(() => createAuth([{ name: 'a', role: 'read', value: 'x'.repeat(15) }], clock)).toThrow('at least 16')
  expect(() => createAuth([{ name: 'a', role: 'read', value: 'x'.repeat(16) }], clock)).not.toThrow()
})

test.each([
  ['127.0.0.1', true],
  ['127.8.9.1', true],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['localhost', true],
  ['0.0.0.0', false],
  ['::', false],
  ['10.0.0.1', false],
  ['127.0.0.1.evil.example', false],
])('%s is loopback: %s', (address, loopback) => {
  expect(isLoopback(address)).toBe(loopback)
})
