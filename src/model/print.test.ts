import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import vectors from '../../test/fixtures/prints.json' with { type: 'json' }
import { limits } from './limits.ts'
import { printOf } from './print.ts'

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 32)
const print = (value: unknown) => printOf(value, hash)
const ofText = (text: string) => hash(Buffer.from(text))

// The Python client is held to the same file in test/e2e/python.test.ts.
test.each(vectors)('print of $name', ({ json, times, print: expected }) => {
  const value = JSON.parse(json)
  expect(print(times === undefined ? value : value.repeat(times))).toEqual(expected)
})

test('the hash is of the canonical text, the folded one of the same without its digits', () => {
  expect(print({ b: [10, { d: -1.5, c: 'x 200' }], a: undefined })).toEqual({
    hash: ofText('{"b":[10,{"c":"x 200","d":-1.5}]}'),
    folded: ofText('{"b":[#,{"c":"x #","d":-#.#}]}'),
    length: 33,
  })
})

describe('what is told apart', () => {
  test.each([
    { name: 'another value', one: { a: 1 }, other: { a: 2 }, hash: false, folded: true },
    { name: 'another order of keys', one: { a: 1, b: 2 }, other: { b: 2, a: 1 }, hash: true, folded: true },
    { name: 'another order of items', one: [1, 'a'], other: ['a', 1], hash: false, folded: false },
    { name: 'a longer run of digits', one: '9 files', other: '10 files', hash: false, folded: true },
    { name: 'another word', one: '9 files', other: '9 pages', hash: false, folded: false },
    { name: 'maps by their entries', one: new Map([['a', 1]]), other: new Map([['a', 2]]), hash: false, folded: true },
    { name: 'sets by their items', one: new Set(['a']), other: new Set(['b']), hash: false, folded: false },
    { name: 'bytes', one: Buffer.from('abc'), other: new Uint8Array([97, 98, 99]), hash: true, folded: true },
    { name: 'other bytes', one: Buffer.from('abc'), other: Buffer.from('abd'), hash: false, folded: false },
    { name: 'dates', one: new Date(0), other: new Date(1), hash: false, folded: true },
    {
      name: 'only the length beyond what is hashed',
      one: 'x'.repeat(limits.printHashedBytes + 5),
      other: 'x'.repeat(limits.printHashedBytes + 6),
      hash: false,
      folded: true,
    },
  ])('$name', ({ name: _, one, other, ...same }) => {
    const [a, b] = [print(one), print(other)]
    expect({ hash: a?.hash === b?.hash, folded: a?.folded === b?.folded }).toEqual(same)
  })

  class Secret {
    readonly #value: number
    constructor(value: number) {
      this.#value = value
    }
    value = () => this.#value
  }
  const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)])
  const ring: unknown[] = []
  ring.push(ring)
  test.each([
    { name: 'a function', value: () => 1 },
    { name: 'fields that are private', value: new Secret(1) },
    { name: 'an object of nothing but functions', value: { close: () => 1 } },
    { name: 'a promise', value: Promise.resolve(1) },
    { name: 'an error', value: new Error('x') },
    { name: 'one level too deep', value: nested(limits.jsonDepth + 1) },
    { name: 'a ring', value: ring },
  ])('$name cannot be: no print', ({ value }) => {
    expect(print(value)).toBeNull()
  })

  test('as deep as a payload may be', () => {
    expect(print(nested(limits.jsonDepth))).not.toBeNull()
  })
})

test.each([
  { name: 'nothing', value: undefined, length: 0 },
  { name: 'no bytes', value: new Uint8Array(0), length: 0 },
  { name: 'an empty map', value: new Map(), length: 0 },
  { name: 'two digits', value: 42, length: 2 },
  {
    name: 'text beyond what is counted',
    value: 'é'.repeat(limits.printCountedBytes),
    length: limits.printCountedBytes,
  },
  { name: 'a list beyond it', value: Array(limits.printCountedBytes).fill(1), length: limits.printCountedBytes },
])('length of $name is $length', ({ value, length }) => {
  expect(print(value)?.length).toBe(length)
})

test('what is beyond the count is not looked at', () => {
  let looks = 0
  const item = {
    toJSON: () => {
      looks += 1
      return 'x'.repeat(1_000)
    },
  }
  expect(print(Array(100_000).fill(item))?.length).toBe(limits.printCountedBytes)
  expect(looks).toBeLessThan(300)
})
