import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Postgres } from '../../../test/postgres.ts'
import { until } from '../../../test/until.ts'
import { defaultBreaker } from '../../config/defaults.ts'
import type { DependencySpec } from '../../model/probe.ts'
import { createRedact } from '../../model/redact.ts'
import { createProber } from './prober.ts'

const prober = createProber(createRedact([]), { launch: () => expect.unreachable('nothing is started here') })
const never = new AbortController().signal
const failed = (reason: unknown) => ({ ok: false, reason })
let database: Postgres
let server: Server | null = null

beforeAll(async () => {
  database = await Postgres.start(8)
}, 60_000)
afterEach(async () => {
  database.thaw()
  await database.leave()
  server?.close()
  server = null
})
afterAll(() => database.remove())

function check(url: string, timeoutMs = 10_000, signal = never) {
  const probe = { initialDelayMs: 0, periodMs: 30_000, timeoutMs, failureThreshold: 1, successThreshold: 1 }
  const spec: DependencySpec = {
    ...{ name: 'it', role: 'database', check: { kind: 'postgres', url }, critical: false, probe },
    breaker: defaultBreaker,
  }
  return prober.check(spec, signal)
}

const nobodyIsLeft = () =>
  until(async () => (await database.connections()) === 0, { timeoutMs: 10_000, what: 'every connection to be gone' })

async function listen(onSocket: (socket: Socket) => void): Promise<string> {
  const opened = createServer((socket) => onSocket(socket.on('error', () => socket.destroy())))
  server = opened
  await new Promise<void>((resolve) => opened.listen(0, '127.0.0.1', resolve))
  return `postgres://u:s3cret@127.0.0.1:${(opened.address() as AddressInfo).port}/db`
}

test('a server that lets in and answers; nothing is left there', async () => {
  expect(await check(database.url)).toEqual({ ok: true })
  await nobodyIsLeft()
})

test.each([
  { name: 'a wrong password', url: () => database.urlOf('agent', 'wr0ng'), reason: '28P01: the password is refused' },
  {
    name: 'no password',
    url: () => database.url.replace(/:[^:]+@/, '@'),
    reason: 'it wants a password, and the URL has none',
  },
  {
    name: 'a database that is not there',
    url: () => database.url.replace('/work', '/play'),
    reason: '3D000: there is no such database',
  },
  {
    name: 'a server that wants no TLS',
    url: () => `${database.url}?sslmode=verify-full`,
    reason: 'The server does not support SSL connections',
  },
])('$name', async ({ url, reason }) => {
  expect(await check(url())).toEqual(failed(reason))
  await nobodyIsLeft()
})

test('a server with no connection to spare', async () => {
  await database.exhaust()
  expect(await check(database.url)).toEqual(failed('53300: it has no connection to spare'))
  await database.leave()
  await until(async () => (await check(database.url)).ok, { timeoutMs: 10_000, what: 'a place' })
})

test('a read-only server fails only who wants to write', async () => {
  await database.query('ALTER ROLE agent SET default_transaction_read_only = on')
  try {
    expect(await check(database.url)).toEqual({ ok: true })
    expect(await check(`${database.url}?target_session_attrs=read-write`)).toEqual(failed('it is read-only'))
  } finally {
    await database.query('ALTER ROLE agent RESET default_transaction_read_only')
  }
  expect(await check(`${database.url}?target_session_attrs=read-write`)).toEqual({ ok: true })
})

test('a frozen server ends at the timeout, an abort at once; neither leaves a connection', async () => {
  database.freeze()
  expect(await check(database.url, 200)).toEqual(failed('no answer within 200 ms'))
  const over = new AbortController()
  const checked = check(database.url, 60_000, over.signal)
  over.abort()
  expect(await checked).toEqual(failed('not finished: aborted'))
  database.thaw()
  await nobodyIsLeft()
})

test('a server that is not there, and one that comes back', async () => {
  await database.stop()
  expect(await check(database.url)).toEqual(failed(expect.stringContaining('ECONNREFUSED')))
  await database.resume()
  expect(await check(database.url)).toEqual({ ok: true })
})

test.each([
  { name: 'hangs up', answer: null, reason: 'Connection terminated unexpectedly' },
  { name: 'is shutting down', answer: '57P03', reason: '57P03: it is starting up, shutting down or recovering' },
  { name: 'ends it', answer: '57P01', reason: '57P01: it is shutting down' },
])('a server that $name', async ({ answer, reason }) => {
  const url = await listen((socket) =>
    socket.once('data', () => (answer === null ? socket.end() : socket.end(refusal(answer)))),
  )
  expect(await check(url)).toEqual(failed(reason))
})

test('a server that says something else, or nothing after it let in: bounded, without the password', async () => {
  const garbled = await listen((socket) => socket.once('data', () => socket.write('HTTP/1.1 400 s3cret\r\n\r\n')))
  expect(await check(garbled, 300)).toEqual(failed(expect.not.stringContaining('s3cret')))
  server?.close()
  const sockets: Socket[] = []
  const silent = await listen((socket) => {
    sockets.push(socket)
    // AuthenticationOk, ReadyForQuery; then silence.
    socket.once('data', () => socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49])))
  })
  expect(await check(silent, 300)).toEqual(failed('no answer within 300 ms'))
  await until(() => sockets.every(({ destroyed, readableEnded }) => destroyed || readableEnded), {
    ...{ timeoutMs: 10_000, what: 'the check to hang up' },
  })
})

/** ErrorResponse, as Postgres sends it. */
function refusal(code: string): Buffer {
  const body = Buffer.from(`SFATAL\0C${code}\0Mno s3cret\0\0`)
  const head = Buffer.alloc(5)
  head.write('E')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
