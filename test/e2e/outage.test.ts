import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, expect, test } from 'vitest'
import { ModelProvider } from '../../bench/parts/model-provider.ts'
import type { PrunellaConfig } from '../../src/config/index.ts'
import { removeTestFolders, type TestNode, testNode } from '../node.ts'
import { type Receiver, startReceiver } from '../receiver.ts'
import { until } from '../until.ts'

const caller = fileURLToPath(new URL('../../bench/agents/caller.ts', import.meta.url))
const tasks = 60
let provider: ModelProvider
let receiver: Receiver
let node: TestNode | null = null

afterEach(async () => {
  await node?.stop()
  node = null
  await receiver.close()
  await provider.close()
})
afterAll(removeTestFolders)

/** Three replicas that call a provider, and somebody who is told. */
async function start(): Promise<TestNode> {
  provider = new ModelProvider(20, Number.POSITIVE_INFINITY)
  await provider.listen()
  receiver = await startReceiver()
  const replicas = { min: 3, max: 3 }
  const environment = { set: { OPENAI_BASE_URL: provider.url } }
  const breaker = { probe: '500ms', stable: '1s', ramp: '1s' } as const
  const config: PrunellaConfig = {
    pools: { p: { agent: caller, replicas, dependsOn: ['llm'], environment } },
    dependencies: { llm: { check: { http: `${provider.url}/models` }, critical: true, breaker } },
    notify: [{ kind: 'webhook', url: receiver.url, secret: 'a-secret-of-the-hook', allowPrivate: true }],
  }
  node = await testNode(config)
  await node.ready(3)
  return node
}

const isDown = ({ door }: TestNode) => door.dependencies()[0]?.up === false

test('a provider that is out and comes back: everything is done, nobody was touched or charged, and people hear of it twice', async () => {
  const at = await start()
  const { door } = at
  const before = door.replicas().map(({ name, pid }) => ({ name, pid }))
  const ids = await Promise.all(Array.from({ length: tasks }, () => at.submit('p', { calls: 2, how: 'gives_up' })))
  await until(() => provider.answeredMs.length > 10, { timeoutMs: 10_000, what: 'work' })
  await provider.fail('refuses')
  await until(() => isDown(at), { timeoutMs: 10_000, what: 'the outage to be noticed' })
  await until(() => door.pools()[0]?.active === 0, { timeoutMs: 10_000, what: 'calls under way to fail' })
  expect(door.pools()[0]).toMatchObject({ hold: { cause: 'dependency' } })
  const [opened] = await receiver.waitFor(1)
  expect(opened?.message).toMatchObject({ change: 'opened', severity: 'critical' })

  await provider.mend()
  for (const id of ids) {
    const { status, countedAttempts, attempts } = await at.settled(id)
    const charged = countedAttempts - attempts.filter(({ outcome, counted }) => outcome === 'done' && counted).length
    expect({ status, charged }).toEqual({ status: 'done', charged: 0 })
  }
  const received = await receiver.waitFor(2)
  expect(received.map(({ message: { change } }) => change)).toEqual(['opened', 'resolved'])
  expect(door.replicas().map(({ name, pid }) => ({ name, pid }))).toEqual(before)
  expect(door.replicas().every(({ strikes }) => strikes === 0)).toBe(true)
  const done = (await door.metrics()).match(/^prunella_recoveries_total\{.*/gm) ?? []
  expect(done.filter((line) => !/action="(hold|resume)"/.test(line))).toEqual([])
})
