import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, expect, test } from 'vitest'
import { ModelProvider } from '../../bench/parts/model-provider.ts'
import type { PrunellaConfig } from '../../src/config/index.ts'
import type { Duration } from '../../src/model/units.ts'
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
async function start(probe: Duration = '500ms'): Promise<TestNode> {
  provider = new ModelProvider(20, Number.POSITIVE_INFINITY)
  await provider.listen()
  receiver = await startReceiver()
  const replicas = { min: 3, max: 3 }
  const environment = { set: { OPENAI_BASE_URL: provider.url } }
  const breaker = { probe, stable: '3s', ramp: '1s' } as const
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

test.each([
  { kind: 'refuses', what: 'a provider that is out' },
  { kind: 'calls_fail', what: 'a provider whose calls fail while its check passes' },
] as const)(
  '$what and comes back: everything is done, nobody was touched or charged, and people hear of it twice',
  async ({ kind }) => {
    const at = await start()
    const { door } = at
    const before = door.replicas().map(({ name, pid }) => ({ name, pid }))
    const ids = await Promise.all(Array.from({ length: tasks }, () => at.submit('p', { calls: 2, how: 'gives_up' })))
    await until(() => provider.answeredMs.length > 10, { timeoutMs: 10_000, what: 'work' })
    await provider.fail(kind)
    await until(() => isDown(at), { timeoutMs: 10_000, what: 'the outage to be noticed' })
    const checkedMs = door.dependencies()[0]?.checkedMs ?? 0
    const isAskedOn = () => (door.dependencies()[0]?.checkedMs ?? 0) > checkedMs + 1_000
    await until(isAskedOn, { timeoutMs: 10_000, what: 'its check to be asked for a second' })
    expect(isDown(at)).toBe(true)
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
  },
)

/** Out, and noticed, with so many tasks waiting. */
async function goOut(at: TestNode): Promise<readonly string[]> {
  await provider.fail('refuses')
  const ids = await Promise.all(Array.from({ length: 6 }, () => at.submit('p', { calls: 1, how: 'gives_up' })))
  await until(() => isDown(at), { timeoutMs: 10_000, what: 'the outage to be noticed' })
  await until(() => at.door.pools()[0]?.active === 0, { timeoutMs: 10_000, what: 'calls under way to fail' })
  return ids
}

test('what a person holds during an outage stays held when that is over, until a person resumes it', async () => {
  const at = await start()
  const { door } = at
  const resume = { kind: 'resume', pool: 'p' } as const
  const ids = await goOut(at)
  expect(await door.operate(resume, 'Ada', 'now')).toMatchObject({
    ...{ kind: 'conflict', text: expect.stringContaining('held by nobody but its dependency llm') },
  })
  expect(await door.operate({ kind: 'hold', pool: 'p' }, 'Ada', 'wait for me')).toMatchObject({ kind: 'accepted' })
  expect(door.pools()[0]?.hold).toMatchObject({
    reason: expect.stringMatching(/^Ada: wait for me; and dependency llm/),
  })
  await provider.mend()
  await until(() => !isDown(at), { timeoutMs: 10_000, what: 'its return to be noticed' })
  expect(door.pools()[0]).toMatchObject({ hold: { cause: 'operator', reason: 'Ada: wait for me' } })
  const answered = provider.answeredMs.length
  expect(await door.operate(resume, 'Bob', 'go on')).toMatchObject({ kind: 'accepted', text: 'pool p resumed' })
  for (const id of ids) expect((await at.settled(id)).status).toBe('done')
  expect(answered).toBe(0)
  expect(await door.audit(10)).toMatchObject([
    { who: 'Bob', what: 'resume', target: 'p', reason: 'go on' },
    { who: 'Ada', what: 'hold', target: 'p', reason: 'wait for me' },
  ])
})

test('a person who knows better than the check lets it in again', async () => {
  const at = await start('10m')
  const ids = await goOut(at)
  await provider.mend()
  const force = { kind: 'resume', pool: 'p', force: true } as const
  expect(await at.door.operate(force, 'Ada', 'I saw it answer')).toMatchObject({ kind: 'accepted' })
  for (const id of ids) expect((await at.settled(id)).status).toBe('done')
  expect(await at.door.audit(10)).toMatchObject([
    { who: 'Ada', what: 'resume', target: 'p' },
    { who: 'Ada', what: 'close_breaker', target: 'llm', reason: 'I saw it answer' },
  ])
})
