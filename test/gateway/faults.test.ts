import type { ServerResponse } from 'node:http'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { defaultDeadlines } from '../../src/config/defaults.ts'
import { type GatewayWorld, openGatewayWorld } from '../gateway-world.ts'
import { events, type Format, json, samples } from '../model-server.ts'

const deadlines = { ...defaultDeadlines, modelFirstByteMs: 300, modelIdleMs: 300, modelAnswerMs: 300 }

let world: GatewayWorld
beforeEach(async () => {
  world = await openGatewayWorld({ pool: { deadlines } })
})
afterEach(() => world.close())

/** The official clients as they come, with their own retries. */
const clients: Readonly<Record<Format, (stream: boolean) => Promise<string>>> = {
  async chat(stream) {
    const client = new OpenAI({ baseURL: world.base('openai'), apiKey: world.token })
    const request = { model: 'gpt-4o', messages: [{ role: 'user' as const, content: 'Weather?' }] }
    if (!stream) return JSON.stringify((await client.chat.completions.create(request)).choices[0]?.message)
    const runner = client.chat.completions.stream(request)
    return JSON.stringify((await runner.finalChatCompletion()).choices[0]?.message)
  },
  async responses(stream) {
    const client = new OpenAI({ baseURL: world.base('openai'), apiKey: world.token })
    const request = { model: 'gpt-4o', input: 'Weather?' }
    if (!stream) return JSON.stringify((await client.responses.create(request)).output)
    let said = ''
    for await (const event of await client.responses.create({ ...request, stream: true })) said += event.type
    return said
  },
  async messages(stream) {
    const client = new Anthropic({ baseURL: world.base('anthropic'), apiKey: world.token })
    const request = {
      model: 'claude-sonnet-4-5',
      max_tokens: 99,
      messages: [{ role: 'user' as const, content: 'Weather?' }],
    }
    if (!stream) return JSON.stringify((await client.messages.create(request)).content)
    return JSON.stringify((await client.messages.stream(request).finalMessage()).content)
  },
}

/** Keeps writing until nobody listens. */
function dripping(text: string, everyMs: number) {
  return (response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    let at = 0
    const timer = setInterval(() => response.write(text[at++ % text.length]), everyMs)
    response.on('close', () => clearInterval(timer))
  }
}

const half: Readonly<Record<Format, readonly string[]>> = {
  chat: samples.chat.events.filter((line) => !line.includes('Bern')),
  responses: samples.responses.events.map((line) =>
    line.includes('output_item.done') ? line.replace('\\"Bern\\"}', '\\"Be') : line,
  ),
  messages: samples.messages.events.filter((line) => !line.includes('ern')),
}

describe.each(Object.keys(samples) as Format[])('%s', (format) => {
  const { whole, events: lines } = samples[format]
  const failureOf = () => world.seen.flatMap((one) => (one.kind === 'model_called' ? [one.usage.failure] : []))

  test('the client’s library gets through', async () => {
    world.models.answer = json(whole)
    expect(await clients[format](false)).toContain('weather')
    world.models.answer = events(lines)
    expect(await clients[format](true)).toMatch(/weather|response\.completed/)
  })

  test.each<{ what: string; answer: (response: ServerResponse) => void; stream?: boolean; failure?: string }>([
    { what: 'never answers', answer: () => undefined },
    { what: 'never answers, not streamed', answer: () => undefined, stream: false },
    { what: 'stops in the middle', answer: events(lines.slice(0, 3), 'hang') as never },
    { what: 'breaks off in the middle', answer: events(lines.slice(0, 3), 'cut') as never },
    { what: 'ends in the middle', answer: events(lines.slice(0, 3)) as never, failure: 'garbled' },
    { what: 'drips', answer: dripping(lines.join(''), 20) },
    { what: 'sends comments only', answer: dripping(': still here\n\n', 5) },
    { what: 'closes at once', answer: (response) => void response.destroy() },
    {
      what: 'sends broken JSON',
      answer: events([...lines.slice(0, 3), 'event: x\ndata: {"id": "chatc\n\n', ...lines.slice(3)]) as never,
      failure: 'garbled',
    },
    { what: 'cuts a tool call in half', answer: events(half[format]) as never, failure: 'garbled' },
    { what: 'says nothing and ends', answer: events([]) as never, failure: 'garbled' },
    {
      what: 'answers with half a body',
      answer: (response) => void response.writeHead(200, { 'content-type': 'application/json' }).end('{"id":"x","cho'),
      stream: false,
      failure: 'garbled',
    },
    { what: 'answers with nothing in it', answer: json({}) as never, stream: false, failure: 'garbled' },
  ])(
    'a provider that $what: the client’s library throws, in time',
    async ({ answer, stream = true, failure = 'unavailable' }) => {
      world.models.answer = answer
      await expect(clients[format](stream)).rejects.toThrow()
      expect(failureOf().length).toBeGreaterThan(0)
      expect(new Set(failureOf())).toEqual(new Set([failure]))
    },
  )

  test.each([
    {
      status: 429,
      body: { error: { type: 'insufficient_quota', message: 'You exceeded your current quota' } },
      failure: 'quota_exhausted',
    },
    { status: 529, body: { error: { type: 'overloaded_error', message: 'Overloaded' } }, failure: 'overloaded' },
    { status: 503, body: 'busy', failure: 'overloaded' },
    { status: 500, body: {}, failure: 'unavailable' },
    { status: 401, body: { error: { message: 'Incorrect API key' } }, failure: 'auth' },
    {
      status: 400,
      body: { error: { code: 'context_length_exceeded', message: 'too long' } },
      failure: 'context_overflow',
    },
    {
      status: 400,
      body: { error: { type: 'invalid_request_error', message: 'prompt is too long: 9 > 8' } },
      failure: 'context_overflow',
    },
    { status: 400, body: { error: { message: 'Your credit balance is too low' } }, failure: 'quota_exhausted' },
    { status: 400, body: { error: { message: 'messages: wrong' } }, failure: 'bad_request' },
  ])('$status $body: $failure, and the client has the provider’s own words', async ({ status, body, failure }) => {
    world.models.answer = json(body, status)
    await expect(clients[format](false)).rejects.toMatchObject({ status })
    expect(new Set(failureOf())).toEqual(new Set([failure]))
    // Ours, if the budget has one; never the library's on top.
    expect(world.models.asked.length).toBeLessThanOrEqual(2)
  })
})

test('an error that the provider puts into its stream reaches the client as it is', async () => {
  const error = 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
  world.models.answer = events([...samples.messages.events.slice(0, 4), error])
  const client = new Anthropic({ baseURL: world.base('anthropic'), apiKey: world.token })
  const request = { model: 'c', max_tokens: 9, messages: [{ role: 'user' as const, content: 'x' }] }
  await expect(client.messages.stream(request).finalMessage()).rejects.toThrow('Overloaded')
  expect(world.seen).toContainEqual(
    expect.objectContaining({ kind: 'model_called', usage: expect.objectContaining({ failure: 'overloaded' }) }),
  )
})
