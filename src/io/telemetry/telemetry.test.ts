import { expect, test } from 'vitest'
import { createLog } from './log.ts'
import { createMeter } from './meter.ts'

function capture(options: { pretty: boolean; secrets?: string[] }) {
  const lines: string[] = []
  const log = createLog({ secrets: [], colour: false, ...options, write: (line) => void lines.push(line) })
  return { log, lines }
}

test('a JSON line carries facts, level and message', () => {
  const { log, lines } = capture({ pretty: false })
  log.warn({ pool: 'support', strike: 2 }, 'restarted')
  expect(JSON.parse(lines[0] ?? '')).toEqual({
    level: 40,
    time: expect.stringMatching(/^\d{4}-.*Z$/),
    pool: 'support',
    strike: 2,
    msg: 'restarted',
  })
})

test.each([
  { pretty: true, name: 'pretty' },
  { pretty: false, name: 'JSON' },
])('secrets never reach $name lines', ({ pretty }) => {
  const { log, lines } = capture({ pretty, secrets: ['hunter2-canary'] })
  log.error(
    { url: 'http://x/?a=hunter2-canary', nested: { list: ['hunter2-canary'] }, error: new Error('no hunter2-canary') },
    'key sk-abcdefghijklmnopqrst',
  )
  expect(lines.join('')).toMatch(/redacted/)
  expect(lines.join('')).not.toMatch(/canary|sk-abc/)
})

test('a pretty line stays one inert line', () => {
  const { log, lines } = capture({ pretty: true })
  log.info({ text: 'a\nb\u001b]52;c;aGk=\u0007c' }, 'mess\u001b[31mage\r\nforged')
  expect(lines).toEqual([expect.stringMatching(/^\d\d:\d\d:\d\d info {2}message ⏎ forged text="a ⏎ bc"\n$/)])
})

test('a line that is too long is cut and still JSON', () => {
  const { log, lines } = capture({ pretty: false })
  log.info({ text: 'x'.repeat(100_000) }, 'long')
  expect(lines[0]?.length).toBeLessThan(1_000)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ msg: 'long' })
})

test('metrics are counted, set, cleared and rendered', async () => {
  const meter = createMeter([
    { name: 'c_total', kind: 'counter', help: 'c', labels: ['pool'] },
    { name: 'g', kind: 'gauge', help: 'g', labels: ['pool'] },
    { name: 'h_seconds', kind: 'histogram', help: 'h', labels: [], buckets: [1, 2] },
  ])
  meter.count('c_total', { pool: 'a"b\nc' })
  meter.count('c_total', { pool: 'a"b\nc' }, 2)
  meter.gauge('g', { pool: 'gone' }, 1)
  meter.clear('g')
  meter.gauge('g', { pool: 'here' }, 7)
  meter.observe('h_seconds', {}, 1.5)
  const text = await meter.render()
  expect(text).toContain('c_total{pool="a\\"b\\nc"} 3')
  expect(text).toContain('g{pool="here"} 7')
  expect(text).not.toContain('gone')
  expect(text).toContain('h_seconds_bucket{le="2"} 1')
  expect(text).toContain('h_seconds_bucket{le="1"} 0')
  expect(() => meter.count('g', {})).toThrow('not declared')
})
