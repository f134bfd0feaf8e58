import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../model/limits.ts'
import { type Decoded, FrameReader } from './decode.ts'
import { encode } from './encode.ts'
import type { AgentFrame } from './frames.ts'

const attempt = { task: 't1', fence: 3 }
const json = fc.jsonValue({ maxDepth: 5 })
const frame = fc.oneof(
  fc.record({ type: fc.constant('pulse'), lagMs: fc.nat() }),
  fc.record({ type: fc.constant('done'), task: fc.constant('t1'), fence: fc.nat(), output: json }),
  fc.record({
    type: fc.constant('progress'),
    task: fc.constant('t1'),
    fence: fc.nat(),
    note: fc.string({ unit: 'binary' }),
  }),
) as fc.Arbitrary<AgentFrame>

/** Reads as a host does that is interrupted: at most `perPush` frames between two chunks. */
function readAll(bytes: Buffer, cuts: readonly number[], perPush = Number.POSITIVE_INFINITY): Decoded[] {
  const reader = new FrameReader()
  const found: Decoded[] = []
  const take = (most: number): void => {
    for (let count = 0; count < most && found.at(-1)?.ok !== false; count += 1) {
      const next = reader.next()
      if (next === null) return
      found.push(next)
    }
  }
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  let from = 0
  for (const end of ends) {
    reader.push(Buffer.from(bytes.subarray(from, end))) // A copy: the reader must not lean on the next chunk.
    take(perPush)
    from = end
  }
  take(Number.POSITIVE_INFINITY)
  return found
}

const read = (bytes: Buffer | string): Decoded[] => readAll(Buffer.from(bytes), [])

test('frames come back the same under any chunking and any pace', () => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 20 }),
      fc.array(fc.nat(), { maxLength: 30 }),
      fc.nat(4),
      (frames, cuts, pace) => {
        const bytes = Buffer.from(frames.map(encode).join(''))
        // Through JSON once: it has no -0.
        const sent = JSON.parse(JSON.stringify(frames))
        expect(readAll(bytes, cuts, pace).map((got) => got.ok && got.value)).toEqual(sent)
      },
    ),
  )
})

test('byte by byte, with characters of one to four bytes', () => {
  const sent: AgentFrame = { type: 'progress', ...attempt, note: 'aé€😀\u2028' }
  const bytes = Buffer.from(encode(sent).repeat(3))
  expect(readAll(bytes, [...bytes.keys()])).toEqual(Array(3).fill({ ok: true, value: sent }))
})

test('any bytes give frames and at most one violation, never an exception, in whatever chunks', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(), { maxLength: 10 }), (bytes, cuts) => {
      const whole = read(Buffer.from(bytes))
      expect(whole.filter(({ ok }) => !ok).length).toBeLessThanOrEqual(1)
      expect(readAll(Buffer.from(bytes), cuts)).toEqual(whole)
    }),
  )
})

const nested = (levels: number): string => `{"a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}\n`
const padded = (bytes: number): string => `{"a":"${'x'.repeat(bytes - 9)}"}\n`

test.each([
  { name: 'a text line', bytes: 'hello\n', reason: 'not JSON: "hello"' },
  { name: 'an empty line', bytes: '\n', reason: 'not JSON: ""' },
  { name: 'half an object', bytes: '{"type":\n', reason: 'not JSON' },
  { name: 'null', bytes: 'null\n', reason: 'not a JSON object' },
  { name: 'an array', bytes: '[{}]\n', reason: 'not a JSON object' },
  { name: 'a number', bytes: '1\n', reason: 'not a JSON object' },
  { name: '0xFF in a text', bytes: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d, 0x0a]), reason: 'not UTF-8' },
  {
    name: 'an encoded surrogate',
    bytes: Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d, 0x0a]),
    reason: 'not UTF-8',
  },
  { name: 'one level too deep', bytes: nested(limits.jsonDepth + 1), reason: 'deeper than 64 levels' },
  { name: 'depth 200,000', bytes: nested(200_000), reason: 'deeper than 64 levels' },
  { name: 'depth 200,000, never closed', bytes: `${'['.repeat(200_000)}\n`, reason: 'deeper than 64 levels' },
  {
    name: 'deep after an escaped quote',
    bytes: `{"\\"":${'['.repeat(64)}${']'.repeat(64)}}\n`,
    reason: 'deeper than 64 levels',
  },
  { name: 'one byte too long', bytes: padded(limits.frameBytes + 1), reason: 'more than 1048576 bytes' },
  { name: 'too long and never ended', bytes: 'x'.repeat(limits.frameBytes), reason: 'more than 1048576 bytes' },
])('$name is a violation', ({ bytes, reason }) => {
  const answer = { ok: false, reason: expect.stringContaining(reason) }
  expect(read(bytes)).toEqual([answer])
  expect(readAll(Buffer.from(bytes), [1, 2, 70_000, 700_000])).toEqual([answer])
})

test.each([
  { name: 'the deepest frame', bytes: nested(limits.jsonDepth) },
  { name: 'brackets inside a text', bytes: `{"a":"${'['.repeat(200)}"}\n` },
  { name: 'a text that ends in a backslash', bytes: `{"a":"\\\\","b":"${'{'.repeat(200)}"}\n` },
  { name: 'the longest frame', bytes: padded(limits.frameBytes) },
  { name: 'U+FFFD sent as such', bytes: '{"a":"\ufffd"}\n' },
])('$name is read', ({ bytes }) => {
  expect(read(bytes)).toEqual([{ ok: true, value: JSON.parse(String(bytes)) }])
})

test('after a violation nothing is read, and the violation stays the answer', () => {
  const reader = new FrameReader()
  reader.push(Buffer.from('{"a":1}\nnonsense\n{"b":2}\n'))
  expect(reader.next()).toMatchObject({ ok: true })
  const violation = reader.next()
  reader.push(Buffer.from('{"c":3}\n'))
  expect(violation).toMatchObject({ ok: false })
  expect(reader.next()).toBe(violation)
})

test('a line that was begun is counted until it ends', () => {
  const reader = new FrameReader()
  reader.push(Buffer.from('{}\n{"a"'))
  while (reader.next() !== null);
  expect(reader.heldBytes).toBe(4)
  reader.push(Buffer.from(':1}\n'))
  expect(reader.next()).toEqual({ ok: true, value: { a: 1 } })
  expect(reader.heldBytes).toBe(0)
})

test('a prototype key is a key like any other', () => {
  const [got] = read('{"__proto__":{"isAdmin":true}}\n')
  expect(got?.ok && Object.hasOwn(got.value, '__proto__')).toBe(true)
  expect(({} as Record<string, unknown>)['isAdmin']).toBeUndefined()
})

test('a frame at the limit is encoded, one byte more is refused; characters are counted as bytes', () => {
  const empty = Buffer.byteLength(encode({ type: 'progress', ...attempt, note: '' }))
  const note = (bytes: number): string => `${'€'.repeat((bytes - empty) / 3)}${'x'.repeat((bytes - empty) % 3)}`
  const line = encode({ type: 'progress', ...attempt, note: note(limits.frameBytes) })
  expect(Buffer.byteLength(line)).toBe(limits.frameBytes)
  expect(read(line)).toMatchObject([{ ok: true }])
  expect(() => encode({ type: 'progress', ...attempt, note: note(limits.frameBytes + 1) })).toThrow(
    expect.objectContaining({ code: 'PRUNELLA_TOO_LARGE' }),
  )
})

test('a line of a megabyte in chunks of one byte takes linear time, and a small frame about a microsecond', () => {
  const trickle = new FrameReader()
  const byte = Buffer.from('x')
  const startMs = performance.now()
  for (let count = 0; count < limits.frameBytes; count += 1) {
    trickle.push(byte)
    trickle.next()
  }
  // Quadratic copying would move 500 GB here.
  expect(performance.now() - startMs).toBeLessThan(5_000)

  const chunk = Buffer.from(encode({ type: 'started', ...attempt }).repeat(1_000))
  // The best of many short rounds: others may be using the machine.
  const rate = Math.max(...Array.from({ length: 40 }, () => framesPerSecond(chunk, 1_000, 5)))
  expect(rate).toBeGreaterThan(500_000)
})

function framesPerSecond(chunk: Buffer, framesPerChunk: number, chunks: number): number {
  const reader = new FrameReader()
  const startMs = performance.now()
  for (let count = 0; count < chunks; count += 1) {
    reader.push(chunk)
    while (reader.next() !== null);
  }
  return (framesPerChunk * chunks) / ((performance.now() - startMs) / 1_000)
}
