import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { defaultBreaker } from '../../config/defaults.ts'
import type { DependencyCheck, DependencySpec } from '../../model/probe.ts'
import { createRedact } from '../../model/redact.ts'
import type { Launcher } from '../../port/launcher.ts'
import { createProber } from './prober.ts'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    if ('closeAllConnections' in server) (server as ReturnType<typeof createServer>).closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

async function listen(server: Server): Promise<number> {
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}
const serve = async (listener: RequestListener) => `http://127.0.0.1:${await listen(createServer(listener))}`
const serveTcp = (onSocket: (socket: Socket) => void) => listen(createTcpServer(onSocket))

const launcher: Launcher = {
  launch: () => expect.unreachable('nothing is started here'),
}
const prober = createProber(createRedact(['canary-secret']), launcher)
const never = new AbortController().signal
const check = (what: DependencyCheck, timeoutMs = 2_000, signal = never) =>
  prober.check(specOf(what, timeoutMs), signal)
function specOf(what: DependencyCheck, timeoutMs: number): DependencySpec {
  const probe = { initialDelayMs: 0, periodMs: 10_000, timeoutMs, failureThreshold: 1, successThreshold: 1 }
  return { name: 'it', role: 'other', check: what, critical: false, probe, breaker: defaultBreaker }
}

describe('http', () => {
  test.each([
    { status: 200, headers: {}, result: { ok: true } },
    { status: 204, headers: {}, result: { ok: true } },
    { status: 302, headers: {}, result: { ok: true } },
    { status: 399, headers: {}, result: { ok: true } },
    { status: 400, headers: {}, result: { ok: false, reason: 'HTTP 400' } },
    { status: 401, headers: {}, result: { ok: true } },
    { status: 403, headers: { accept: 'x' }, result: { ok: true } },
    {
      status: 401,
      headers: { Authorization: 'Bearer x' },
      result: { ok: false, reason: 'HTTP 401: the credential is refused' },
    },
    {
      status: 403,
      headers: { 'x-api-key': 'x' },
      result: { ok: false, reason: 'HTTP 403: the credential is refused' },
    },
    { status: 404, headers: {}, result: { ok: false, reason: 'HTTP 404' } },
    { status: 503, headers: {}, result: { ok: false, reason: 'HTTP 503' } },
  ])('$status with $headers', async ({ status, headers, result }) => {
    const url = await serve((_, response) =>
      response.writeHead(status, { location: 'http://127.0.0.1:1/' }).end('body'),
    )
    expect(await check({ kind: 'http', url, headers })).toEqual(result)
  })

  test('sends the headers', async () => {
    let seen: unknown
    const url = await serve((request, response) => {
      seen = request.headers['x-api-key']
      response.end()
    })
    await check({ kind: 'http', url, headers: { 'x-api-key': 'k' } })
    expect(seen).toBe('k')
  })

  test('a body without end does not hold it up', async () => {
    const url = await serve((_, response) => response.writeHead(200).write('x'))
    expect(await check({ kind: 'http', url, headers: {} })).toEqual({ ok: true })
  })

  test('no answer ends at the timeout and says so; an abort ends at once', async () => {
    const url = await serve(() => undefined)
    const fromMs = performance.now()
    expect(await check({ kind: 'http', url, headers: {} }, 100)).toEqual({
      ok: false,
      reason: 'no answer within 100 ms',
    })
    expect(performance.now() - fromMs).toBeLessThan(1_500)
    expect(await check({ kind: 'http', url, headers: {} }, 60_000, AbortSignal.abort())).toEqual({
      ok: false,
      reason: 'not finished: aborted',
    })
  })

  test('names the cause, and no secret', async () => {
    const port = await serveTcp(() => undefined)
    servers.pop()?.close()
    expect(await check({ kind: 'http', url: `http://127.0.0.1:${port}/?q=canary-secret`, headers: {} })).toMatchObject({
      ok: false,
      reason: expect.stringContaining('ECONNREFUSED'),
    })
    expect(await check({ kind: 'http', url: 'canary-secret', headers: {} })).toMatchObject({
      ok: false,
      reason: expect.not.stringContaining('canary'),
    })
  })
})

describe('tcp', () => {
  test('a port that listens, and one that does not', async () => {
    const port = await serveTcp((socket) => socket.end())
    expect(await check({ kind: 'tcp', host: '127.0.0.1', port })).toEqual({ ok: true })
    await new Promise((resolve) => servers.pop()?.close(resolve))
    expect(await check({ kind: 'tcp', host: '127.0.0.1', port })).toMatchObject({
      ok: false,
      reason: expect.stringContaining('ECONNREFUSED'),
    })
  })
})

describe('mcp', () => {
  interface Call {
    readonly id?: number
    readonly method: string
    readonly params?: { readonly cursor?: string }
  }
  /** A small server; two pages of tools. */
  function mcp(options: { stream?: boolean; refuse?: boolean } = {}) {
    const seen: string[] = []
    const listener: RequestListener = (request, response) => {
      if (request.method === 'DELETE') {
        seen.push(`DELETE ${request.headers['mcp-session-id']}`)
        response.end()
        return
      }
      let body = ''
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => {
        const { id, method, params }: Call = JSON.parse(body)
        seen.push(method === 'initialize' ? method : `${method} ${request.headers['mcp-session-id']}`)
        if (id === undefined) return response.writeHead(202).end()
        const second = params?.cursor === 'more'
        const result =
          method === 'initialize'
            ? { protocolVersion: '2025-03-26', capabilities: {} }
            : second
              ? { tools: [{ name: 'search' }] }
              : { tools: [{ name: 'first' }, null], nextCursor: 'more' }
        const message = JSON.stringify(
          options.refuse
            ? { jsonrpc: '2.0', id, error: { code: -1, message: 'not now' } }
            : { jsonrpc: '2.0', id, result },
        )
        const headers = {
          'content-type': options.stream ? 'text/event-stream' : 'application/json',
          'mcp-session-id': 's1',
        }
        response.writeHead(200, headers)
        // The stream stays open: the answer must be found all the same.
        if (options.stream)
          response.write(`data: {"jsonrpc":"2.0","method":"note"}\n\nevent: message\ndata: ${message}\n\n`)
        else response.end(message)
        return undefined
      })
    }
    return { seen, listener }
  }

  test.each([
    { name: 'a tool of the second page', stream: false, tool: 'search', result: { ok: true } },
    { name: 'no tool asked for', stream: false, tool: null, result: { ok: true } },
    { name: 'by event stream', stream: true, tool: 'search', result: { ok: true } },
    {
      name: 'a tool that is not there',
      stream: false,
      tool: 'none',
      result: { ok: false, reason: 'the server has no tool "none"' },
    },
  ])('$name', async ({ stream, tool, result }) => {
    const { seen, listener } = mcp({ stream })
    expect(await check({ kind: 'mcp', url: await serve(listener), headers: {}, tool })).toEqual(result)
    expect(seen.slice(0, 3)).toEqual(['initialize', 'notifications/initialized s1', 'tools/list s1'])
  })

  test('sends the headers, except where they would break the protocol', async () => {
    const seen: unknown[] = []
    const { listener } = mcp()
    const url = await serve((request, response) => {
      seen.push([request.headers['authorization'], request.headers['content-type']])
      listener(request, response)
    })
    const headers = { authorization: 'Bearer x', 'content-type': 'text/plain' }
    expect(await check({ kind: 'mcp', url, headers, tool: null })).toEqual({ ok: true })
    expect(seen.slice(0, 3)).toEqual(Array(3).fill(['Bearer x', 'application/json']))
  })

  test('an error answer, a status, garbage', async () => {
    expect(
      await check({ kind: 'mcp', url: await serve(mcp({ refuse: true }).listener), headers: {}, tool: null }),
    ).toEqual({
      ok: false,
      reason: 'initialize: not now',
    })
    const failing = await serve((_, response) => response.writeHead(500).end())
    expect(await check({ kind: 'mcp', url: failing, headers: {}, tool: null })).toEqual({
      ok: false,
      reason: 'initialize: HTTP 500',
    })
    const garbage = await serve((_, response) => response.end('<html>'))
    expect(await check({ kind: 'mcp', url: garbage, headers: {}, tool: null })).toEqual({
      ok: false,
      reason: 'initialize: no JSON-RPC answer',
    })
    const endless = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
        response.once('drain', more)
      }
      more()
    })
    expect(await check({ kind: 'mcp', url: endless, headers: {}, tool: null })).toEqual({
      ok: false,
      reason: 'initialize: no JSON-RPC answer',
    })
  })
})
