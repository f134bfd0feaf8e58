import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { until } from './until.ts'

export interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly message: Readonly<Record<string, unknown>>
}

export interface Receiver {
  readonly url: string
  readonly port: number
  /** Everything that came, in order. */
  readonly received: Received[]
  /** How it answers from now on. Default: 204. */
  answer: (response: ServerResponse) => void
  waitFor(count: number, timeoutMs?: number): Promise<readonly Received[]>
  close(): Promise<void>
}

/** Somebody who is notified. */
export async function startReceiver(port = 0): Promise<Receiver> {
  const received: Received[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (part: string) => {
      body += part
    })
    request.on('end', () => {
      received.push({ headers: request.headers, body, message: JSON.parse(body) })
      receiver.answer(response)
    })
    response.on('error', () => undefined)
  })
  await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening))
  const bound = (server.address() as AddressInfo).port
  const receiver: Receiver = {
    url: `http://127.0.0.1:${bound}/hook`,
    port: bound,
    received,
    answer: (response) => void response.writeHead(204).end(),
    async waitFor(count, timeoutMs = 20_000) {
      await until(() => received.length >= count, { timeoutMs, what: `${count} notifications, got ${received.length}` })
      return received
    },
    async close() {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
  return receiver
}

/** The example of docs/notifications.md. */
export function isGenuine(secret: string, body: string, header: string, nowMs: number): boolean {
  const { t = '', v1 = '' } = Object.fromEntries(header.split(',').map((part) => part.split('=', 2)))
  const expected = createHmac('sha256', secret).update(`${t}.${body}`).digest()
  const given = Buffer.from(v1, 'hex')
  const isFresh = Math.abs(nowMs / 1000 - Number(t)) < 300
  return isFresh && given.length === expected.length && timingSafeEqual(given, expected)
}
