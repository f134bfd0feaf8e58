import { describe, expect, test } from 'vitest'
import { call, raw, serveFakeDoor, silent, tokens } from '../../test/http.ts'
import { createClock } from '../io/clock.ts'
import { startHttp } from './index.ts'

const { door, server } = serveFakeDoor()

describe('health', () => {
  test.each([
    { status: 'healthy', code: 200 },
    { status: 'degraded', code: 200 },
    { status: 'unhealthy', code: 503 },
  ] as const)('$status answers $code', async ({ status, code }) => {
    door.report = { status, latencyMs: 0, checks: { llm: 'ok', database: 'failed: connect ECONNREFUSED db:5432' } }
    const without = await call(server().url, 'GET', '/health/readiness?pool=support')
    expect(without).toMatchObject({
      status: code,
      body: { status, latencyMs: expect.any(Number), checks: { llm: 'ok', database: 'failed' } },
    })
    const withToken = await call(server().url, 'GET', '/health/readiness?replica=support/0', {
      token: tokens[0]?.value,
    })
    expect(withToken.body).toMatchObject({ checks: { database: 'failed: connect ECONNREFUSED db:5432' } })
    const wrong = await call(server().url, 'GET', '/health/startup', { token: 'wrong-token-wrong-token' })
    expect(wrong.body).toMatchObject({ checks: { database: 'failed' } })
    expect(door.calls).toEqual([
      ['health', 'readiness', { pool: 'support' }],
      ['health', 'readiness', { replica: 'support/0' }],
      ['health', 'startup', {}],
    ])
  })

  test.each(['/health/x', '/health/', '/health/liveness?pool=gone', '/health/liveness?replica=__proto__'])(
    '%s is not there',
    async (path) => {
      expect((await call(server().url, 'GET', path)).status).toBe(404)
    },
  )

  test('probes answer HEAD and refuse to be posted to', async () => {
    door.report = { status: 'healthy', latencyMs: 0, checks: {} }
    expect(await raw(server().url, 'HEAD', '/health/liveness', {})).toMatchObject({ status: 200, text: '' })
    expect((await raw(server().url, 'POST', '/health/liveness', {})).status).toBe(405)
  })
})

describe('start', () => {
  test('a taken port is named', async () => {
    const port = Number(new URL(server().url).port)
    await expect(
      startHttp({ door, clock: createClock(), log: silent, host: '127.0.0.1', port, names: [], tokens }),
    ).rejects.toMatchObject({
      code: 'PRUNELLA_PORT_TAKEN',
      message: expect.stringMatching(new RegExp(`Port ${port} .*http\\.port`)),
    })
  })

  test('nothing listens beyond loopback without a token', async () => {
    const options = { door, clock: createClock(), log: silent, port: 0, names: [], tokens: [] }
    await expect(startHttp({ ...options, host: '0.0.0.0' })).rejects.toThrow('does not listen on 0.0.0.0')
  })
})
