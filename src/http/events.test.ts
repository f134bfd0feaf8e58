import { afterEach, beforeEach, expect, test } from 'vitest'
import { createFakeDoor, type FakeDoor, tokens } from '../../test/http.ts'
import { until } from '../../test/until.ts'
import { limits } from '../model/limits.ts'
import type { Clock } from '../port/clock.ts'
import { type HttpServer, startHttp } from './index.ts'

let door: FakeDoor
let server: HttpServer
let beat: () => void

/** Sleeps until the test says so. */
const clock: Clock = {
  nowMs: () => 0,
  sleepUntil: (_, signal) =>
    new Promise((resolve) => {
      beat = resolve
      signal.addEventListener('abort', () => resolve(), { once: true })
    }),
}

beforeEach(async () => {
  door = createFakeDoor()
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  server = await startHttp({ door, clock, log, host: '127.0.0.1', port: 0, names: [], tokens })
})
afterEach(() => server.close())

async function listen(lastEventId?: string) {
  const over = new AbortController()
  const response = await fetch(`${server.url}/api/v1/events`, {
    signal: over.signal,
    headers: {
      authorization: `Bearer ${tokens[0]?.value}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    },
  })
  const seen = { text: '', ended: false, status: response.status, type: response.headers.get('content-type') }
  const reading = async () => {
    const decoder = new TextDecoder()
    for await (const part of response.body ?? []) seen.text += decoder.decode(part, { stream: true })
  }
  reading().then(
    () => Object.assign(seen, { ended: true }),
    () => Object.assign(seen, { ended: true }),
  )
  return { seen, stop: () => over.abort() }
}

const has = (seen: { text: string }, text: string) =>
  until(() => seen.text.includes(text), { timeoutMs: 2_000, what: JSON.stringify(text) })

test('events arrive as they happen, and stop when the listener goes', async () => {
  const { seen, stop } = await listen()
  expect(seen).toMatchObject({ status: 200, type: 'text/event-stream' })
  door.emit('first\nid: forged')
  await has(
    seen,
    'id: e.1\nevent: pool\ndata: {"at":"1970-01-01T00:00:01.000Z","pool":"support","text":"first\\nid: forged"}\n\n',
  )
  stop()
  await until(() => door.listeners.size === 0, { timeoutMs: 2_000, what: 'the listener to be forgotten' })
})

test('a listener resumes after the last event it has seen', async () => {
  for (const text of ['one', 'two', 'three']) door.emit(text)
  const { seen, stop } = await listen('e.1')
  await has(seen, 'three')
  expect(seen.text).toContain('two')
  expect(seen.text).not.toContain('one')
  stop()
})

test('a place that is gone is said to be missed', async () => {
  const { seen, stop } = await listen('old.7')
  await has(seen, 'event: missed')
  stop()
})

test('silence is filled with comments', async () => {
  const { seen, stop } = await listen()
  await has(seen, 'retry:')
  beat()
  await has(seen, ': alive\n\n')
  stop()
})

test('who does not read is let go and can resume', async () => {
  const { seen } = await listen()
  const big = 'x'.repeat(limits.eventBacklogBytes / 8)
  // In one turn nothing can be read meanwhile.
  for (let count = 0; count < 32; count++) door.emit(big)
  expect(door.listeners.size).toBe(0)
  await until(() => seen.ended, { timeoutMs: 5_000, what: 'the end of the stream' })
  const last = [...seen.text.matchAll(/^id: (.+)$/gm)].at(-1)?.[1]
  expect(last).toMatch(/^e\.\d+$/)
  const second = await listen(last)
  await has(second.seen, `id: e.${Number(last?.slice(2)) + 1}\n`)
  second.stop()
})

test('there are so many listeners and no more', async () => {
  const all = await Promise.all(Array.from({ length: limits.eventListeners }, () => listen()))
  expect((await listen()).seen.status).toBe(429)
  all[0]?.stop()
  const next = await until(
    async () => {
      const one = await listen()
      return one.seen.status === 200 ? one : null
    },
    { timeoutMs: 2_000, what: 'a free place' },
  )
  for (const { stop } of [...all, next]) stop()
})

test('closing the server ends the streams', async () => {
  const { seen } = await listen()
  await server.close()
  await until(() => seen.ended, { timeoutMs: 2_000, what: 'the end of the stream' })
  expect(door.listeners.size).toBe(0)
})
