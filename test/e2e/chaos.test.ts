import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import { afterAll, afterEach, expect, test } from 'vitest'
import type { Score } from '../../src/cli/chaos-score.ts'
import { main } from '../../src/cli/program.ts'
import type { PrunellaConfig } from '../../src/config/index.ts'
import { chaosFaults, chaosTable } from '../../src/model/chaos.ts'
import { agentFixture, removeTestFolders, type TestNode, testNode } from '../node.ts'
import { until } from '../until.ts'

const token = 'chaos-token-chaos-token'
let running: TestNode | null = null
let server: Server | null = null

/** What the pool's tasks look into: it takes connections, and that is all that its check wants. */
async function archive(): Promise<string> {
  const opened = createServer((socket) => socket.end())
  server = opened
  await new Promise<void>((resolve) => opened.listen(0, '127.0.0.1', resolve))
  return `127.0.0.1:${(opened.address() as AddressInfo).port}`
}

async function start(chaos: boolean): Promise<TestNode> {
  const config: PrunellaConfig = {
    http: { port: 0 },
    dependencies: {
      archive: { check: { tcp: await archive() }, critical: true, breaker: { probe: '300ms', ramp: '1s' } },
    },
    pools: {
      p: {
        agent: agentFixture('clerk.ts'),
        replicas: { min: 3, max: 3 },
        dependsOn: ['archive'],
        pulse: { suspect: '2s', hung: '3s' },
        recovery: { backoff: { base: '50ms', max: '200ms' }, reset: '1s' },
        retry: { backoff: { base: '20ms', max: '100ms' } },
      },
    },
  }
  running = await testNode(config, undefined, 500, { token, chaos })
  await running.ready(3)
  return running
}

/** The command in this process. Its second has 50 ms. */
async function cli(...line: readonly string[]): Promise<{ code: number; out: string[]; err: string[] }> {
  const out: string[] = []
  const err: string[] = []
  const code = await main([...line, '--url', running?.node.url ?? '', '--token', token], {
    ...{ folder: '/', color: false, token: null, progress: null, fetch },
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    readInput: async () => '',
    onStop: () => () => undefined,
    async *eachSecond(signal) {
      while (!signal.aborted) {
        let looks = 0
        yield await until(() => ++looks > 1, { timeoutMs: 20_000, what: 'the next second', everyMs: 50 })
      }
    },
  })
  return { code, out, err }
}

afterEach(async () => {
  await running?.stop()
  running = null
  server?.close()
})
afterAll(removeTestFolders)

interface Card {
  readonly right: boolean
  readonly faults: readonly Score[]
  readonly skipped: readonly { readonly fault: string }[]
}

test('every fault of the table is noticed for what it is, healed, and costs nothing', async () => {
  const { door } = await start(true)
  const { code, out, err } = await cli(
    'chaos',
    'all',
    '--pool',
    'p',
    '--input',
    '{"name":"Ada"}',
    '--for',
    '1s',
    '--json',
  )
  const tried = chaosFaults.filter((fault) => chaosTable[fault].needsMemoryLimit === undefined)
  expect(err).toEqual(tried.map((fault) => `${fault}: right`))
  expect(code).toBe(0)
  expect(out).toHaveLength(1)
  const card: Card = JSON.parse(out[0] ?? '')
  expect(card.right).toBe(true)
  expect(card.skipped.map(({ fault }) => fault)).toEqual(chaosFaults.filter((fault) => !tried.includes(fault)))
  for (const { fault, lost, doneTwice, noticedMs, recoveredMs } of card.faults) {
    expect({ fault, lost, doneTwice }).toEqual({ fault, lost: 0, doneTwice: 0 })
    const isNoticed = chaosTable[fault].verdict !== null
    expect([noticedMs !== null, recoveredMs !== null], fault).toEqual([isNoticed, isNoticed])
  }
  // Nobody mistakes it for a real failure: the ledger has who and why before each strike, and `why` says so.
  const asked = (await door.audit(100)).filter(({ what }) => what.startsWith('chaos '))
  expect(asked.map(({ what }) => what).toReversed()).toEqual(tried.map((fault) => `chaos ${fault}`))
  expect(asked.every(({ who, reason }) => who === 'token operator' && reason === 'prunella chaos')).toBe(true)
  const { rows } = await door.incidents({ limit: 100 })
  const words = await Promise.all(rows.map(async ({ id }) => (await door.why(id))?.text ?? ''))
  expect(words.filter((text) => !/It is no real failure: token operator injected [a-z-]+\.$/.test(text))).toEqual([])
  expect(door.replicas().map(({ strikes }) => strikes)).toEqual([0, 0, 0])
}, 120_000)

test('a node that was not started for it refuses, and says how it is switched on', async () => {
  const { door } = await start(false)
  await expect(cli('chaos', 'crash', '--pool', 'p')).resolves.toMatchObject({
    code: 1,
    out: [],
    err: [expect.stringContaining('prunella up --chaos')],
  })
  await expect(door.inject({ fault: 'crash', pool: 'p', reason: '' }, 'me')).rejects.toMatchObject({
    code: 'PRUNELLA_FORBIDDEN',
  })
  expect(await door.audit(10)).toEqual([])
  expect(door.replicas().map(({ incarnation }) => incarnation)).toEqual([1, 1, 1])
})

test.each([
  { name: 'a pool that is not there', line: ['crash', '--pool', 'q'], says: 'There is no pool' },
  { name: 'a replica that is not there', line: ['crash', '--replica', 'p/9'], says: 'There is no replica p/9' },
])('refuses $name', async ({ line, says }) => {
  await start(true)
  const { code, err } = await cli('chaos', ...line)
  expect([code, err]).toEqual([1, [expect.stringContaining(says)]])
})
