import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isGenuine, type Receiver, startReceiver } from '../../../test/receiver.ts'
import { until } from '../../../test/until.ts'
import { limits } from '../../model/limits.ts'
import type { Notification } from '../../model/notification.ts'
import { createRedact } from '../../model/redact.ts'
import type { SendOutcome } from '../../port/notifier.ts'
import type { Resolve } from './address.ts'
import { createNotifier } from './notifier.ts'
import { signature, type WebhookSpec } from './webhook.ts'

const secret = 'a-secret-of-the-hook'
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }
const notification: Notification = {
  ...{
    id: 'inc-1.webhook.1',
    incidentId: 'inc-1',
    change: 'opened',
    severity: 'critical',
    title: 'größer',
    text: 'why',
  },
  ...{ owner: 'ada', pool: 'p', replica: 'p/0', taskId: null, evidence: ['seen'], commands: ['prunella why inc-1'] },
  ...{ atMs: 1_764_000_000_000, sequence: 1 },
}

let receiver: Receiver

beforeEach(async () => {
  receiver = await startReceiver()
})
afterEach(() => receiver.close())

interface Sending extends Partial<WebhookSpec> {
  readonly resolve?: Resolve
}

function send({ resolve, ...more }: Sending = {}): Promise<SendOutcome> {
  const base = { kind: 'webhook', name: 'webhook', minimum: 'warning', timeoutMs: 5_000 } as const
  const spec: WebhookSpec = { ...base, url: receiver.url, secret, allowPrivate: true, ...more }
  const parts = { log: silent, redact: createRedact(['hunter2-canary']), ...(resolve === undefined ? {} : { resolve }) }
  return createNotifier(spec, parts).send(notification, new AbortController().signal)
}

describe('what arrives', () => {
  test('the notification, signed, with its id to deduplicate by', async () => {
    expect(await send()).toBe('sent')
    const [{ headers, body, message } = { headers: {}, body: '', message: {} }] = receiver.received
    expect(headers).toMatchObject({ 'content-type': 'application/json', 'idempotency-key': 'inc-1.webhook.1' })
    const signed = String(headers['x-prunella-signature'])
    expect(isGenuine(secret, body, signed, Date.now())).toBe(true)
    const { atMs: _, ...rest } = notification
    expect(message).toEqual({ version: 1, ...rest, at: '2025-11-24T16:00:00.000Z' })
  })

  const nowMs = 1_764_000_000_000
  const signed = signature(secret, '{}', nowMs)
  test.each([
    { name: 'the same', secret, body: '{}', header: signed, atMs: nowMs, genuine: true },
    { name: 'another secret', secret: 'x', body: '{}', header: signed, atMs: nowMs, genuine: false },
    { name: 'another body', secret, body: '{ }', header: signed, atMs: nowMs, genuine: false },
    { name: 'just fresh enough', secret, body: '{}', header: signed, atMs: nowMs + 299_999, genuine: true },
    { name: 'a recording', secret, body: '{}', header: signed, atMs: nowMs + 300_000, genuine: false },
    { name: 'another time', secret, body: '{}', header: signed.replace('t=1', 't=2'), atMs: nowMs, genuine: false },
    { name: 'no signature', secret, body: '{}', header: '', atMs: nowMs, genuine: false },
  ])('the example of the docs on $name: $genuine', ({ genuine, header, atMs, body, ...given }) => {
    expect(isGenuine(given.secret, body, header, atMs)).toBe(genuine)
  })
})

describe('what the answer means', () => {
  const status = (code: number) => (response: ServerResponse) => void response.writeHead(code).end('hello')
  test.each([200, 204, 299])('%i: sent', async (code) => {
    receiver.answer = status(code)
    expect(await send()).toBe('sent')
  })

  test.each([401, 403, 404, 408, 409, 425, 429, 500, 502, 503])('%i: again later', async (code) => {
    receiver.answer = status(code)
    expect(await send()).toEqual({ retry: `HTTP ${code}` })
  })

  test.each([400, 410, 413, 422])('%i: never again', async (code) => {
    receiver.answer = status(code)
    expect(await send()).toEqual({ rejected: `HTTP ${code}` })
  })

  test.each([301, 302, 303, 307, 308])('S11: %i to loopback is not followed', async (code) => {
    const victim = await startReceiver()
    receiver.answer = (response) => void response.writeHead(code, { location: victim.url }).end()
    expect(await send()).toEqual({ rejected: expect.stringContaining('redirects are not followed') })
    expect(victim.received).toEqual([])
    await victim.close()
  })

  test('nobody listens: again later', async () => {
    await receiver.close()
    expect(await send()).toEqual({ retry: expect.stringContaining('ECONNREFUSED') })
    receiver = await startReceiver()
  })

  test('a name that does not resolve: again later, and without the secret in it', async () => {
    const resolve: Resolve = (_host, callback) => callback(new Error('ENOTFOUND hunter2-canary.example'), [])
    const outcome = await send({ url: 'http://name.example/', resolve })
    expect(outcome).toEqual({ retry: 'ENOTFOUND [redacted].example' })
  })
})

describe('S11: a reply that does not end', () => {
  test('no answer: again later, when its time is up', async () => {
    receiver.answer = () => undefined
    expect(await send({ timeoutMs: 150 })).toEqual({ retry: 'no answer within 150 ms' })
  })

  test('headers, then a byte now and then: it was accepted, and is cut when its time is up', async () => {
    let isClosed = false
    receiver.answer = (response) => {
      const drip = setInterval(() => response.write('.'), 10)
      response.on('close', () => {
        clearInterval(drip)
        isClosed = true
      })
      response.writeHead(200).write('.')
    }
    expect(await send({ timeoutMs: 300 })).toBe('sent')
    await until(() => isClosed, { timeoutMs: 5_000, what: 'the connection to be cut' })
  })

  test('a gigabyte: it was accepted, and is cut long before', async () => {
    let written = 0
    let isClosed = false
    receiver.answer = (response) => {
      const part = Buffer.alloc(64 * 1024)
      const more = (): void => {
        while (written < 2 ** 30 && !response.destroyed) {
          written += part.length
          if (!response.write(part)) return void response.once('drain', more)
        }
      }
      response.on('close', () => {
        isClosed = true
      })
      response.writeHead(200)
      more()
    }
    expect(await send()).toBe('sent')
    await until(() => isClosed, { timeoutMs: 5_000, what: 'the connection to be cut' })
    // What the kernel's buffers took is not what we read.
    expect(written).toBeLessThan(32 * 1024 * 1024)
    expect(written).toBeGreaterThan(limits.webhookReplyBytes)
  })
})

describe('S11: where it does not go', () => {
  test.each([
    { host: '127.0.0.1' },
    { host: 'localhost' },
    { host: '0x7f000001' },
    { host: '2130706433' },
    { host: '127.1' },
    { host: '[::1]' },
    { host: '[::ffff:127.0.0.1]' },
    { host: '[::ffff:10.0.0.1]' },
    { host: '[2002:7f00:1::]' },
    { host: '[64:ff9b::7f00:1]' },
    { host: '169.254.169.254' },
    { host: '10.0.0.1' },
    { host: '0.0.0.0' },
    { host: '100.64.0.1' },
    { host: '224.0.0.1' },
  ])('$host is refused, and never asked', async ({ host }) => {
    const outcome = await send({ url: `http://${host}:${receiver.port}/`, allowPrivate: false })
    expect(outcome).toEqual({ rejected: expect.stringContaining('is a private or reserved address') })
    expect(receiver.received).toEqual([])
  })

  test.each([{ addresses: ['127.0.0.1'] }, { addresses: ['93.184.216.34', '127.0.0.1'] }])(
    'a name that is now $addresses is refused by the one look that its connection takes',
    async ({ addresses }) => {
      let looks = 0
      const resolve: Resolve = (_host, callback) => {
        looks += 1
        const found = addresses.map((address) => ({ address, family: 4 }))
        callback(null, found)
      }
      const url = `http://rebinding.example:${receiver.port}/`
      expect(await send({ url, allowPrivate: false, resolve })).toEqual({
        rejected: expect.stringContaining('rebinding.example is 127.0.0.1'),
      })
      expect(looks, 'there is no second look to fool').toBe(1)
      expect(receiver.received).toEqual([])
    },
  )

  test('what was resolved is what is connected to, and an allowed network is reached', async () => {
    const resolve: Resolve = (_host, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }])
    const url = `http://inside.example:${receiver.port}/`
    expect(await send({ url, allowPrivate: ['127.0.0.0/8'], resolve })).toBe('sent')
    expect(receiver.received[0]?.headers.host).toBe(`inside.example:${receiver.port}`)
    expect(await send({ url, allowPrivate: ['10.0.0.0/8'], resolve })).toMatchObject({ rejected: expect.anything() })
  })

  test('a signal that is aborted ends it at once', async () => {
    receiver.answer = () => undefined
    const cut = new AbortController()
    const base = { kind: 'webhook', name: 'w', minimum: 'info', timeoutMs: 60_000, allowPrivate: true } as const
    const notifier = createNotifier({ ...base, url: receiver.url, secret }, { log: silent, redact: (text) => text })
    const sending = notifier.send(notification, cut.signal)
    await receiver.waitFor(1)
    cut.abort()
    expect(await sending).toMatchObject({ retry: expect.stringContaining('abort') })
  })
})

test('a log notifier writes one line at the level of the severity, with what to type', async () => {
  const lines: unknown[][] = []
  const write = (level: string) => (facts: unknown, message: string) => void lines.push([level, facts, message])
  const log = { info: write('info'), warn: write('warn'), error: write('error') }
  const spec = { kind: 'log', name: 'log', minimum: 'info', timeoutMs: 1 } as const
  const notifier = createNotifier(spec, { log, redact: (text) => text })
  for (const severity of ['info', 'warning', 'critical'] as const)
    expect(await notifier.send({ ...notification, severity }, new AbortController().signal)).toBe('sent')
  const facts = expect.objectContaining({ owner: 'ada', commands: ['prunella why inc-1'] })
  expect(lines).toEqual(['info', 'warn', 'error'].map((level) => [level, facts, 'notification: größer. why']))
})
