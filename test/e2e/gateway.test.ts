import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PrunellaConfig } from '../../src/config/index.ts'
import { json, type ModelServer, startModelServer } from '../model-server.ts'
import { removeTestFolders, type TestNode, testNode } from '../node.ts'
import { until } from '../until.ts'

const realKey = 'the-real-key-of-the-provider'
const command = ['python3', fileURLToPath(new URL('../../examples/python/plain.py', import.meta.url))]

let models: ModelServer
let node: TestNode | null = null
beforeEach(async () => {
  models = await startModelServer(json({}, 500))
})
afterEach(async () => {
  await node?.stop()
  await models.close()
  node = null
})
afterAll(removeTestFolders)

async function start(pool: Partial<NonNullable<PrunellaConfig['pools']>[string]> = {}): Promise<TestNode> {
  node = await testNode({
    gateway: { providers: { openai: { api: 'openai', baseUrl: models.url, apiKey: realKey } } },
    pools: {
      plain: { agent: { command, protocol: 'none' }, replicas: { min: 2, max: 2 }, dependsOn: ['openai'], ...pool },
    },
  })
  await node.ready(2)
  return node
}

let calls = 0
const usage = { prompt_tokens: 300, completion_tokens: 100, total_tokens: 400 }
const answer = (message: object, finish: string) =>
  json({
    id: `c${++calls}`,
    model: 'gpt-4o',
    usage,
    choices: [{ index: 0, message: { role: 'assistant', ...message }, finish_reason: finish }],
  })
const says = (content: string) => answer({ content }, 'stop')
const searches = (word: string) => {
  const call = {
    id: `call_${++calls}`,
    type: 'function',
    function: { name: 'search', arguments: JSON.stringify({ word }) },
  }
  return answer({ content: null, tool_calls: [call] }, 'tool_calls')
}
const completions = () => models.asked.filter(({ url }) => url.endsWith('/chat/completions'))
const actions = async () =>
  (await node?.door.incidents({ limit: 50 }))?.rows.flatMap((incident) => incident.actions.map(({ kind }) => kind))
/** The check of readiness is answered, completions are as told. */
function model(how: (asked: { readonly body: string }) => ReturnType<typeof json>): void {
  models.answer = (response, asked) => (asked.method === 'GET' ? json({ data: [] }) : how(asked))(response, asked)
}

describe('an agent in plain Python, without SDK, known by its traffic alone', () => {
  test('works, and has no key', async () => {
    model(({ body }) => (body.includes('self-heal') ? says('It heals itself.') : searches('prunella')))
    const { submit, settled } = await start()
    const task = await settled(await submit('plain', { question: 'What is prunella?' }))
    expect(task).toMatchObject({ status: 'done', output: { answer: 'It heals itself.' } })
    for (const { headers } of completions()) expect(headers.authorization).toBe(`Bearer ${realKey}`)
  })

  test('goes in circles: mended by the hint that is put into its next call', async () => {
    model(({ body }) => (body.includes('going in circles') ? says('I give up.') : searches('nonsense')))
    const { submit, settled } = await start({ recovery: { injectNudge: true } })
    const task = await settled(await submit('plain', { question: 'x' }))
    expect(task).toMatchObject({ status: 'done', output: { answer: 'I give up.' } })
    expect(completions().length).toBeLessThanOrEqual(9)
    expect(await actions()).toEqual(['nudge'])
  })

  test('goes in circles and does not listen: restarted, and its task goes on', async () => {
    let stubborn = true
    model(() => (stubborn ? searches('nonsense') : says('Now I know.')))
    const { submit, settled } = await start()
    const id = await submit('plain', { question: 'x' })
    await until(async () => (await actions())?.includes('soft_restart') === true, {
      timeoutMs: 15_000,
      what: 'a restart',
    })
    stubborn = false
    expect(await settled(id)).toMatchObject({ status: 'done', output: { answer: 'Now I know.' } })
    expect(await actions()).toEqual(['nudge', 'soft_restart'])
  })

  test('with a task that no context holds: a dead letter, and no replica is to blame', async () => {
    const error = { code: 'context_length_exceeded', type: 'invalid_request_error', message: 'maximum context length' }
    model(() => json({ error }, 400))
    const { submit, settled, door } = await start()
    const task = await settled(await submit('plain', { question: 'x' }))
    expect(task).toMatchObject({ status: 'dead_letter' })
    expect(task.attempts.at(-1)?.outcome).toBe('context_overflow')
    expect(door.replicas().map(({ strikes }) => strikes)).toEqual([0, 0])
  })

  test('that spends without end: stopped at its budget, one call over at most', async () => {
    model(() => searches(`word ${calls}`))
    const { submit, settled } = await start({ limits: { tokensPerTask: 1_000 } })
    const task = await settled(await submit('plain', { question: 'x' }))
    expect(task).toMatchObject({ status: 'held' })
    // 400 tokens each: the third reaches the limit, and would be the one over.
    expect(completions().length).toBe(3)
  })
})

test('a provider that fails for a while: calls wait at the gate, nothing is charged, and work goes on', async () => {
  let isDown = false
  model(({ body }) => {
    if (isDown) return json({ error: { message: 'down' } }, 500)
    return body.includes('self-heal') ? says('It heals itself.') : searches('prunella')
  })
  const { submit, settled, door } = await start({ replicas: { min: 3, max: 3 } })
  await settled(await submit('plain', { question: 'x' }))
  isDown = true
  const ids = await Promise.all(Array.from({ length: 12 }, () => submit('plain', { question: 'x' })))
  const isUp = () => door.dependencies().find(({ name }) => name === 'openai')?.up
  await until(() => isUp() === false, { timeoutMs: 15_000, what: 'the outage to be noticed' })
  isDown = false
  for (const id of ids) expect(await settled(id, 30_000)).toMatchObject({ status: 'done' })
  expect(door.replicas().map(({ strikes }) => strikes)).toEqual([0, 0, 0])
  expect(await actions()).toEqual(['hold'])
})
