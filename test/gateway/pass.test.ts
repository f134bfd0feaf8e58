import http from 'node:http'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type GatewayWorld, openGatewayWorld, realKey } from '../gateway-world.ts'
import { events, type Format, json, samples } from '../model-server.ts'
import { until } from '../until.ts'

let world: GatewayWorld
beforeEach(async () => {
  world = await openGatewayWorld()
})
afterEach(() => world.close())

const formats = Object.keys(samples) as Format[]
const apiOf = (format: Format) => (format === 'messages' ? 'anthropic' : 'openai')

/** As bytes, with the headers that belong to the answer and not to its connection. */
async function fetched(url: string, body: unknown, headers: Record<string, string> = {}) {
  const init = {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  }
  const response = await fetch(url, init)
  const ofConnection = ['connection', 'keep-alive', 'transfer-encoding', 'date']
  const kept = [...response.headers].filter(([name]) => !ofConnection.includes(name))
  return { status: response.status, headers: kept, body: Buffer.from(await response.arrayBuffer()).toString() }
}

describe.each(formats)('%s', (format) => {
  const { path, whole, events: lines } = samples[format]
  test.each([
    { what: 'whole', answer: json(whole, 200, { 'x-request-id': 'req_1' }) },
    { what: 'streamed', answer: events(lines) },
    { what: 'refused', answer: json({ error: { message: 'no', type: 'invalid_request_error' } }, 400) },
  ])('passes as it is: $what', async ({ what, answer }) => {
    world.models.answer = answer
    const request = { model: 'm', stream: what === 'streamed', messages: [] }
    const direct = await fetched(`${world.models.url}${path}`, request)
    const through = await fetched(`${world.base(apiOf(format))}${path}`, request)
    expect(through).toEqual(direct)
    const [first, second] = world.models.asked
    expect(second?.body).toBe(first?.body)
  })

  test.each(['whole', 'streamed'])('tells what it saw: %s', async (how) => {
    world.models.answer = how === 'whole' ? json(whole) : events(lines)
    await fetched(`${world.base(apiOf(format))}${path}`, { model: 'm', stream: how === 'streamed' })
    const called = world.seen.find(({ kind }) => kind === 'model_called')
    expect(called).toMatchObject({
      ...{ replica: 'p/0', taskId: 't', fence: 1, via: 'gateway' },
      usage: {
        provider: apiOf(format),
        promptTokens: 12,
        completionTokens: 7,
        toolCalls: 1,
        textLength: 10,
        failure: null,
      },
    })
    expect(called).toMatchObject({ usage: { usd: expect.any(Number), windowTokens: expect.any(Number) } })
  })

  test('in whatever pieces it comes, the same bytes go on and the same is understood', async () => {
    const bytes = Buffer.from(lines.join(''))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: bytes.length - 1 }), { maxLength: 12 }), async (cuts) => {
        const ends = [...new Set(cuts), bytes.length].sort((a, b) => a - b)
        world.models.answer = async (response) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' })
          let from = 0
          for (const end of ends) {
            await new Promise((written) => response.write(bytes.subarray(from, end), written))
            from = end
          }
          response.end()
        }
        world.seen.length = 0
        const { body } = await fetched(`${world.base(apiOf(format))}${path}`, { model: 'm', stream: true })
        expect(body).toBe(bytes.toString())
        const called = world.seen.find(({ kind }) => kind === 'model_called')
        expect(called).toMatchObject({ usage: { promptTokens: 12, completionTokens: 7, toolCalls: 1, textLength: 10 } })
      }),
      { numRuns: 40 },
    )
  })
})

test('the token goes no further than the gateway, and the key comes no nearer', async () => {
  world.models.answer = json(samples.chat.whole)
  const authorization = `Bearer ${world.token}`
  await fetched(`${world.base('openai')}/chat/completions`, {}, { authorization, 'x-prunella-attempt': 't 1' })
  await fetched(`${world.base('anthropic')}/v1/messages`, {}, { 'x-api-key': world.token })
  const [chat, messages] = world.models.asked
  expect(chat?.headers.authorization).toBe(`Bearer ${realKey}`)
  expect(messages?.headers['x-api-key']).toBe(realKey)
  expect(messages?.url).toBe('/v1/messages')
  expect(JSON.stringify(world.models.asked)).not.toContain(world.token)
  expect(JSON.stringify(world.models.asked)).not.toContain('x-prunella')
  expect(JSON.stringify(world.admission.variables)).not.toContain(realKey)
})

test('a client that leaves is followed to the provider', async () => {
  world.models.answer = events(samples.chat.events.slice(0, 2), 'hang')
  const leave = new AbortController()
  const url = `${world.base('openai')}/chat/completions`
  const response = await fetch(url, { method: 'POST', body: '{"stream":true}', signal: leave.signal })
  await response.body?.getReader().read()
  leave.abort()
  await until(() => world.models.aborted === 1, { timeoutMs: 10_000, what: 'the provider hears of it' })
  await until(() => world.seen.some(({ kind }) => kind === 'call_ended'), {
    timeoutMs: 10_000,
    what: 'the attempt does nothing any more',
  })
  expect(world.seen.some(({ kind }) => kind === 'model_called')).toBe(false)
})

test('a replica that is gone takes its calls with it, and its token opens nothing', async () => {
  world.models.answer = events(samples.chat.events.slice(0, 2), 'hang')
  const url = `${world.base('openai')}/chat/completions`
  const response = await fetch(url, { method: 'POST', body: '{"stream":true}' })
  const reading = response.text().then(
    () => 'read',
    () => 'cut',
  )
  world.admission.revoke()
  expect(await reading).toBe('cut')
  await until(() => world.models.aborted === 1, { timeoutMs: 10_000, what: 'the provider hears of it' })
  expect((await fetch(url, { method: 'POST', body: '{}' })).status).toBe(401)
})

test.each([
  { what: 'no such token', path: '/llm/sk-prunella-nobody/openai/chat/completions', status: 401 },
  { what: 'no such place', path: '/', status: 401 },
  { what: 'no such provider', path: null, status: 404 },
])('$what: $status', async ({ path, status }) => {
  const url = path === null ? `${world.gateway.url}/llm/${world.token}/nobody/models` : `${world.gateway.url}${path}`
  const response = await fetch(url)
  expect(response.status).toBe(status)
  expect(await response.json()).toMatchObject({ error: { message: expect.any(String), code: expect.any(String) } })
})

test('an attempt that is over does not call any more', async () => {
  const url = `${world.base('openai')}/chat/completions`
  const answer = await fetched(url, { model: 'm' }, { 'x-prunella-attempt': 't 0' })
  expect(answer.status).toBe(409)
  expect(world.models.asked).toEqual([])
})

test('a list of models and what is not known pass unread', async () => {
  world.models.answer = (response, { method, url }) => void response.writeHead(200).end(`${method} ${url}`)
  expect(await (await fetch(`${world.base('openai')}/models?limit=2`)).text()).toBe('GET /v1/models?limit=2')
  const files = await fetch(`${world.base('openai')}/files`, { method: 'POST', body: 'x' })
  expect(await files.text()).toBe('POST /v1/files')
  expect(world.seen).toEqual(expect.not.arrayContaining([expect.objectContaining({ kind: 'model_called' })]))
})

test('a connection that the provider closed meanwhile is no failure of a call', async () => {
  world.models.answer = json(samples.chat.whole)
  const url = `${world.base('openai')}/chat/completions`
  await fetched(url, {})
  const agent = new http.Agent({ keepAlive: true })
  world.models.answer = (response) => {
    if (world.models.asked.length === 2) response.destroy()
    else json(samples.chat.whole)(response, world.models.asked[0] as never)
  }
  expect((await fetched(url, {})).status).toBe(200)
  agent.destroy()
})
