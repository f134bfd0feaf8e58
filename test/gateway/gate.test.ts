import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ModelBudget } from '../../src/port/model-budget.ts'
import { type GatewayWorld, openGatewayWorld } from '../gateway-world.ts'
import { json, samples } from '../model-server.ts'
import { until } from '../until.ts'

let world: GatewayWorld
beforeEach(async () => {
  world = await openGatewayWorld()
})
afterEach(() => world.close())

const body = JSON.stringify({ model: 'gpt-4o', messages: [] })
const post = (base: string, sent = body) => fetch(`${base}/chat/completions`, { method: 'POST', body: sent })
const baseOf = (replica: `p/${number}`) => world.admit(replica).variables.OPENAI_BASE_URL ?? ''

describe('a rate limit that one replica meets', () => {
  test('holds the calls of all until its end, libraries’ own retries included; then all get through', async () => {
    let limited = false
    world.models.answer = (response, asked) => {
      const answer = limited
        ? json(samples.chat.whole)
        : json({ error: { message: 'slow down', type: 'rate_limit_error' } }, 429, { 'retry-after': '2' })
      limited = true
      answer(response, asked)
    }
    const { variables } = world.admit('p/1')
    const client = new OpenAI({ baseURL: variables.OPENAI_BASE_URL, apiKey: variables.OPENAI_API_KEY })
    const first = client.chat.completions.create({ model: 'gpt-4o', messages: [] })
    await until(() => world.models.asked.length === 1, { timeoutMs: 5_000, what: 'the first call' })
    const limitedMs = world.models.asked[0]?.atMs ?? 0
    const others = [2, 3, 4].map((n) => post(baseOf(`p/${n}`)))
    const waits = () =>
      world.seen.filter((one) => one.kind === 'call_started' && one.start.name.includes('openai limits the rate'))
    await until(() => waits().length === 4, { timeoutMs: 5_000, what: 'all are seen to wait' })
    expect((await first).id).toBe('chatcmpl-1')
    for (const response of await Promise.all(others)) expect(response.status).toBe(200)
    const [, ...later] = world.models.asked
    expect(later).toHaveLength(4)
    expect(Math.min(...later.map(({ atMs }) => atMs)) - limitedMs).toBeGreaterThanOrEqual(1_990)
  })

  test('what another provider is asked goes on meanwhile', async () => {
    world.models.answer = json({}, 429, { 'retry-after': '300' })
    const leave = new AbortController()
    const waiting = fetch(`${world.base('openai')}/chat/completions`, { method: 'POST', body, signal: leave.signal })
    const isOver = waiting.catch(() => 'left')
    await until(() => world.models.asked.length === 1, { timeoutMs: 5_000, what: 'the first call' })
    world.models.answer = json(samples.messages.whole)
    const client = new Anthropic({ baseURL: world.base('anthropic'), apiKey: world.token })
    expect((await client.messages.create({ model: 'c', max_tokens: 9, messages: [] })).id).toBe('msg_1')
    leave.abort()
    expect(await isOver).toBe('left')
  })
})

test('while the breaker is open nobody calls; half open one does; closed all do', async () => {
  const open: (() => void)[] = []
  world.models.answer = (response, asked) => void open.push(() => json(samples.chat.whole)(response, asked))
  world.gateway.breaker('openai', 'open')
  const calls = [post(world.base('openai')), post(baseOf('p/1')), post(baseOf('p/2'))]
  const waits = () => world.seen.filter((one) => one.kind === 'call_started').length
  await until(() => waits() === 3, { timeoutMs: 5_000, what: 'all wait' })
  expect(world.models.asked).toHaveLength(0)
  world.gateway.breaker('openai', 'half_open')
  await until(() => open.length === 1, { timeoutMs: 5_000, what: 'the trial' })
  world.gateway.breaker('openai', 'closed')
  await until(() => open.length === 3, { timeoutMs: 5_000, what: 'the others' })
  for (const answer of open) answer()
  for (const response of await Promise.all(calls)) expect(response.status).toBe(200)
})

describe('a budget', () => {
  const budgeted = async (budget: ModelBudget): Promise<void> => {
    await world.close()
    world = await openGatewayWorld({ budget })
    world.models.answer = json(samples.chat.whole)
  }

  test('that is used up is told in words that no library tries again', async () => {
    await budgeted({ isLimited: () => true, refusal: () => ({ reason: '9 of 9 calls spent', mayPass: false }) })
    const client = new OpenAI({ baseURL: world.base('openai'), apiKey: world.token })
    await expect(client.chat.completions.create({ model: 'gpt-4o', messages: [] })).rejects.toMatchObject({
      ...{ status: 403, code: 'prunella_budget_exceeded' },
      message: expect.stringContaining('9 of 9 calls spent'),
    })
    expect(world.models.asked).toEqual([])
  })

  test('of two calls: five at once of one replica go two and no further', async () => {
    const told = () => world.seen.filter(({ kind }) => kind === 'model_called').length
    await budgeted({
      isLimited: () => true,
      refusal: (_caller, _attempt, { calls }) => {
        if (told() >= 2) return { reason: 'used up', mayPass: false }
        return told() + calls >= 2 ? { reason: 'nearly', mayPass: true } : null
      },
    })
    const statuses = (await Promise.all([1, 2, 3, 4, 5].map(() => post(world.base('openai'))))).map(
      ({ status }) => status,
    )
    expect(statuses.toSorted()).toEqual([200, 200, 403, 403, 403])
    expect(world.models.asked).toHaveLength(2)
  })
})

describe('tools', () => {
  const call = { id: 'call_1', type: 'function', function: { name: 'look', arguments: '{"b":1,"a":2}' } }
  const conversation = [
    { role: 'user', content: 'x' },
    { role: 'assistant', tool_calls: [call] },
    { role: 'tool', tool_call_id: 'call_1', content: 'Error: nothing there' },
  ]
  const seen = () => world.seen.filter(({ kind }) => kind === 'tool_seen')

  test('that were called are told once with what they returned, however often the conversation is repeated', async () => {
    world.models.answer = json(samples.chat.whole)
    const sent = JSON.stringify({ model: 'm', messages: conversation })
    await post(world.base('openai'), sent)
    await post(world.base('openai'), sent)
    expect(seen()).toMatchObject([
      { taskId: 't', name: 'look', args: { text: '{"a":2,"b":1}' }, ok: false, print: { length: 22 } },
    ])
  })

  test('are known by the answer that asked for them where the provider keeps the conversation', async () => {
    world.models.answer = json(samples.responses.whole)
    const url = `${world.base('openai')}/responses`
    await fetch(url, { method: 'POST', body: JSON.stringify({ model: 'm', input: 'x' }) })
    const output = { type: 'function_call_output', call_id: 'call_1', output: 'sunny' }
    await fetch(url, {
      method: 'POST',
      body: JSON.stringify({ model: 'm', previous_response_id: 'r', input: [output] }),
    })
    expect(seen()).toMatchObject([{ name: 'weather', ok: true }])
  })
})

describe('a hint of the supervisor', () => {
  const messages = [{ role: 'user', content: 'x' }]
  const lastIn = () => JSON.parse(world.models.asked.at(-1)?.body ?? '{}')

  test('goes into the next call, once, where the pool allows it', async () => {
    await world.close()
    world = await openGatewayWorld({
      pool: { recovery: { ...(await import('../fixtures/specs.ts')).recovery, injectNudge: true } },
    })
    world.models.answer = json(samples.chat.whole)
    world.admission.nudge('t', 1, 'change your approach')
    await post(world.base('openai'), JSON.stringify({ model: 'm', messages }))
    expect(lastIn().messages).toEqual([
      ...messages,
      { role: 'user', content: expect.stringContaining('change your approach') },
    ])
    await post(world.base('openai'), JSON.stringify({ model: 'm', messages }))
    expect(lastIn().messages).toEqual(messages)
  })

  test('changes nothing where it does not', async () => {
    world.models.answer = json(samples.chat.whole)
    world.admission.nudge('t', 1, 'change your approach')
    await post(world.base('openai'), JSON.stringify({ model: 'm', messages }))
    expect(lastIn().messages).toEqual(messages)
  })
})
