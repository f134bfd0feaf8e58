import { expect, test } from 'vitest'
import { limits } from '../model/limits.ts'
import { fingerprint, toErrorInfo, toPayload } from './payload.ts'

const nested = (levels: number): unknown => Array.from({ length: levels }).reduce((inner) => [inner], 'x'.repeat(200))

test.each([
  { value: undefined, payload: null },
  { value: new Date(0), payload: '1970-01-01T00:00:00.000Z' },
  { value: { a: undefined, b: [undefined, () => 1] }, payload: { b: [null, null] } },
  { value: Number.NaN, payload: null },
  { value: 'x'.repeat(limits.payloadBytes - 2), payload: 'x'.repeat(limits.payloadBytes - 2) },
  { value: '€'.repeat(174_762), payload: '€'.repeat(174_762) },
  { value: nested(limits.jsonDepth - 1), payload: nested(limits.jsonDepth - 1) },
])('a value becomes what JSON keeps of it', ({ value, payload }) => {
  expect(toPayload(value, 'It')).toEqual(payload)
})

test.each([
  { value: 'x'.repeat(limits.payloadBytes - 1), code: 'PRUNELLA_TOO_LARGE', says: 'It has 524289 bytes' },
  { value: '€'.repeat(174_763), code: 'PRUNELLA_TOO_LARGE', says: 'It has 524291 bytes' },
  { value: nested(limits.jsonDepth), code: 'PRUNELLA_INVALID', says: 'It nests deeper than 63 levels' },
  { value: 1n, code: 'PRUNELLA_INVALID', says: 'It cannot be written as JSON: Do not know how to serialize a BigInt' },
  { value: nested(100_000), code: 'PRUNELLA_INVALID', says: 'It cannot be written as JSON' },
])('what does not fit is refused: $says', ({ value, code, says }) => {
  expect(() => toPayload(value, 'It')).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(says) }),
  )
})

test('a fingerprint tells values apart, not the order of their keys', () => {
  const of = (args: unknown) => fingerprint(args, 'It').hash
  expect(of({ a: 1, b: { c: 2, d: 3 } })).toBe(of({ b: { d: 3, c: 2 }, a: 1 }))
  expect(new Set([of({}), of([]), of(null), of({ a: 1 }), of({ a: '1' }), of([1, 2]), of([2, 1])]).size).toBe(7)
  expect(fingerprint('x'.repeat(1_000), 'It')).toMatchObject({ length: 1_002, text: `"${'x'.repeat(499)}` })
})

test.each([
  { thrown: new TypeError('no'), info: { name: 'TypeError', message: 'no' } },
  { thrown: Object.assign(new Error('no'), { code: 'E_NO' }), info: { name: 'Error', message: 'no', code: 'E_NO' } },
  { thrown: Object.assign(new Error('no'), { code: 7 }), info: { name: 'Error', message: 'no' } },
  { thrown: 'text', info: { name: 'Error', message: 'text' } },
  { thrown: { why: 1 }, info: { name: 'Error', message: '{"why":1}' } },
  { thrown: 1n, info: { name: 'Error', message: '[object BigInt]' } },
  { thrown: undefined, info: { name: 'Error', message: 'undefined' } },
])('whatever is thrown becomes data: $info', ({ thrown, info }) => {
  const { stack, ...rest } = toErrorInfo(thrown)
  expect(rest).toEqual(info)
  expect(stack === undefined).toBe(!(thrown instanceof Error))
})

test('a long error is cut', () => {
  const info = toErrorInfo(new Error('x'.repeat(10_000)))
  expect([info.message.length, info.stack?.length]).toEqual([limits.errorTextLength, limits.errorTextLength])
})
