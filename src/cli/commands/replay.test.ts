import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Io } from '../io.ts'
import { main } from '../program.ts'

let folder: string
let out: string[]
let err: string[]
let progress: (string | null)[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'prunella-replay-'))
  out = []
  err = []
  progress = []
})

afterEach(async () => {
  await rm(folder, { recursive: true })
})

async function replay(text: string | Uint8Array, ...options: readonly string[]): Promise<number> {
  await writeFile(join(folder, 'runs.jsonl'), text)
  const unused = () => Promise.reject(new Error('not used'))
  const io: Io = {
    folder,
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    progress: (line) => void progress.push(line),
    color: false,
    token: null,
    readInput: unused,
    fetch: unused,
    eachSecond: async function* () {},
    onStop: () => () => undefined,
  }
  return main(['replay', 'runs.jsonl', ...options], io)
}

const step = {
  kind: 'tool',
  name: 'ls',
  args_hash: 'a',
  args_len: 1,
  result_hash: 'r',
  result_nhash: 'r',
  result_len: 9,
}

function run(id: string, calls: number, more: object = {}): string {
  const steps = Array.from({ length: calls }, () => ({ ...step, is_error: false }))
  return JSON.stringify({ id, source: 'somewhere', steps, ...more })
}

const stuck = { label: 'stuck', rule: 'S1_repeat', onset: 0 }
const clean = { label: 'clean', rule: null, onset: null }

function objects(): readonly Record<string, unknown>[] {
  return out.map((line) => JSON.parse(line) as Record<string, unknown>)
}

test('--json prints one verdict a run and, with labels, the summary', async () => {
  expect(await replay([run('one', 10, stuck), run('two', 1, clean), ''].join('\n'), '--json')).toBe(0)
  const [one, two, last, ...more] = objects()
  expect(one).toMatchObject({ id: 'one', flagged: true, level: 'act', step: 5, form: 'same_call', label: 'stuck' })
  expect(two).toMatchObject({ id: 'two', flagged: false, level: null, act: null, nudge: null })
  expect(last).toMatchObject({ summary: { runs: 2, act: { loops: { count: 1, of: 1 }, falseAlarms: { count: 0 } } } })
  expect(more).toEqual([])
  expect(err).toEqual([])
})

test('gzipped, without labels, there is no summary', async () => {
  expect(await replay(gzipSync(run('one', 4)), '--json')).toBe(0)
  expect(objects()).toMatchObject([{ id: 'one', level: 'nudge', flagged: false, step: null }])
})

test('--nudge flags what would have been nudged', async () => {
  expect(await replay(run('one', 4), '--json', '--nudge')).toBe(0)
  expect(objects()).toMatchObject([{ id: 'one', flagged: true, step: 2 }])
})

test('a person gets a table, a count and the score', async () => {
  expect(await replay([run('one', 10, stuck), run('two', 1, clean)].join('\n'))).toBe(0)
  expect(out.join('\n')).toContain('one  5     0           same_call')
  expect(out.join('\n')).toContain('2 runs, 2 of them labelled stuck or clean; 1 would have been acted on.')
  expect(out.join('\n')).toContain('100.0 % (1/1)')
  expect(progress.at(-1)).toBeNull()
})

test("the ledger's export holds runs that are interleaved", async () => {
  const fact = {
    kind: 'tool',
    name: 'ls',
    argsHash: 'a',
    argsLength: 1,
    resultHash: 'r',
    resultNhash: 'r',
    resultLength: 9,
    isError: true,
  }
  const lines = Array.from({ length: 5 }, (_, at) => [
    JSON.stringify({ run: 't_1/1', pool: 'p', fact }),
    JSON.stringify({
      run: 't_2/1',
      pool: 'p',
      fact: { ...fact, isError: false, argsHash: `${at}`, resultHash: `${at}`, resultNhash: `${at}` },
    }),
  ]).flat()
  expect(
    await replay([JSON.stringify({ format: 'prunella.run-facts', version: 1 }), ...lines].join('\n'), '--json'),
  ).toBe(0)
  expect(objects()).toMatchObject([
    { id: 't_1/1', pool: 'p', facts: 5, level: 'act', form: 'same_failure', step: 4 },
    { id: 't_2/1', level: null },
  ])
})

test('thresholds come from the configuration that is named', async () => {
  const config = {
    pools: { p: { agent: { command: ['x'] }, detect: { toolLoop: { tools: { ls: { polling: true } } } } } },
  }
  await writeFile(join(folder, 'other.json'), JSON.stringify(config))
  const file = join(folder, 'other.json')
  expect(await replay(run('one', 10), '--json', '--config', file, '--pool', 'p')).toBe(0)
  expect(objects()).toMatchObject([{ level: null }])
  expect(await replay(run('one', 10), '--config', file, '--pool', 'q')).toBe(2)
  expect(err.at(-1)).toContain('has no pool "q"; it has p.')
  expect(await replay(run('one', 10), '--pool', 'p')).toBe(2)
})

test('--leave-one-out needs labels', async () => {
  expect(await replay(run('one', 10), '--leave-one-out')).toBe(2)
  expect(err).toEqual(['--leave-one-out needs labelled runs, and runs.jsonl has none.'])
  const both = [run('one', 10, stuck), run('two', 1, clean)].join('\n')
  expect(await replay(both, '--leave-one-out', '--json')).toBe(0)
  expect(objects().at(-1)).toMatchObject({ summary: { leaveOneOut: { free: {}, scaled: {} } } })
})

test.each([
  { name: 'an empty file', text: '\n', says: 'runs.jsonl is empty: there is nothing to replay.' },
  { name: 'no JSON', text: `${run('one', 1)}\n{"id":`, says: 'runs.jsonl: line 2 is not JSON' },
  {
    name: 'a bad field',
    text: run('one', 1).replace('"args_len":1', '"args_len":"1"'),
    says: 'runs.jsonl: line 1.steps[0].args_len must be a whole number from 0, got "1"',
  },
  {
    name: 'an export of another version',
    text: '{"format":"prunella.run-facts","version":9}',
    says: 'line 1.version must be one of 1',
  },
  { name: 'a damaged archive', text: gzipSync(run('one', 400)).subarray(0, 40), says: 'damaged archive' },
])('$name is refused, and nothing else is on standard output', async ({ text, says }) => {
  expect(await replay(text, '--json')).toBe(1)
  expect(err.join('\n')).toContain(says)
  expect(out.every((line) => line.startsWith('{'))).toBe(true)
})

test('a missing file is named', async () => {
  const unused = () => Promise.reject(new Error('not used'))
  const io = {
    folder,
    out: (line: string) => void out.push(line),
    err: (line: string) => void err.push(line),
    progress: null,
  } as unknown as Io
  expect(await main(['replay', 'gone.jsonl'], { ...io, fetch: unused })).toBe(1)
  expect(err.join('\n')).toContain('gone.jsonl')
})
