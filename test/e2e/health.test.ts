import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { agentFixture, removeTestFolders, type TestNode, testNode } from '../node.ts'
import { until } from '../until.ts'

let node: TestNode | null = null
let provider: Server | null = null

/** A model provider whose models list answers with `status`. */
async function modelProvider(status: { code: number }): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(status.code, { 'content-type': 'application/json' })
    response.end('{"data":[]}')
  })
  provider = server
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
}

afterEach(async () => {
  await node?.stop()
  node = null
  provider?.close()
  provider?.closeAllConnections()
  provider = null
})
afterAll(removeTestFolders)

describe('the three probes', () => {
  test('over a slow start: nothing is ready before setup is done, and nobody is restarted for it', async () => {
    node = await testNode({
      pools: {
        p: {
          agent: agentFixture('slow-start.ts'),
          replicas: { min: 1, max: 1 },
          environment: { set: { SETUP_MS: '1500' } },
        },
      },
    })
    const { door } = node
    await until(() => door.replicas()[0]?.phase === 'starting', { timeoutMs: 5_000, what: 'the start' })
    for (const kind of ['startup', 'readiness'] as const) {
      expect(door.health(kind, { replica: 'p/0' })).toMatchObject({ status: 'unhealthy' })
      expect(door.health(kind, { pool: 'p' })).toMatchObject({ status: 'unhealthy' })
    }
    expect(door.health('startup', {})?.status).toBe('unhealthy')
    expect(door.health('liveness', {})).toMatchObject({ status: 'healthy', checks: { supervisor: 'ok' } })
    await node.ready(1)
    for (const kind of ['startup', 'readiness', 'liveness'] as const) {
      for (const scope of [{}, { pool: 'p' }, { replica: 'p/0' }])
        expect(door.health(kind, scope)?.status).toBe('healthy')
    }
    expect(door.replicas()[0]?.incarnation).toBe(1)
    expect(door.health('readiness', { pool: 'nobody' })).toBeNull()
  })

  test('a start that takes longer than its probe allows is a failed start', async () => {
    node = await testNode({
      pools: {
        p: {
          agent: agentFixture('slow-start.ts'),
          replicas: { min: 1, max: 1 },
          health: { startup: { periodSeconds: 1, timeoutSeconds: 0.5, failureThreshold: 1 } },
          recovery: { grace: '100ms' },
          environment: { set: { SETUP_MS: '60000' } },
        },
      },
    })
    const { door } = node
    const incident = await until(async () => (await door.incidents({ limit: 1 })).rows[0], {
      timeoutMs: 10_000,
      what: 'the incident',
    })
    expect(incident.fault).toMatchObject({ kind: 'start_failed', culprit: 'agent' })
    expect(incident.fault.evidence[0]).toContain('startup probe')
  })

  test("an agent's own failing check gates dispatch and restarts nobody", async () => {
    node = await testNode({
      pools: {
        p: {
          agent: agentFixture('slow-start.ts'),
          replicas: { min: 1, max: 1 },
          health: { readiness: { periodSeconds: 0.2, timeoutSeconds: 0.1, failureThreshold: 1 } },
          environment: { set: { SETUP_MS: '0', FAIL_CHECK_MS: '2000' } },
        },
      },
    })
    const { door, submit, settled } = node
    await until(() => door.replicas()[0]?.checks['disk'], { timeoutMs: 10_000, what: 'the first check' })
    expect(door.health('readiness', { replica: 'p/0' })).toMatchObject({
      status: 'unhealthy',
      checks: { disk: 'failed: the disk is full' },
    })
    const id = await submit('p', {})
    expect((await door.task(id))?.status).toBe('queued')
    expect(await settled(id)).toMatchObject({ status: 'done' })
    expect(door.replicas()[0]).toMatchObject({ incarnation: 1, ready: true })
    expect((await door.incidents({ limit: 1 })).rows).toEqual([])
  })

  test('a failing model provider makes the pool not ready, holds its tasks, and restarts nobody', async () => {
    const status = { code: 503 }
    const baseUrl = await modelProvider(status)
    const probe = { periodSeconds: 0.2, timeoutSeconds: 0.1, failureThreshold: 2 }
    const config = {
      gateway: { providers: { openai: { api: 'openai', baseUrl, apiKey: 'test-key-of-nobody' } } },
      pools: {
        p: {
          agent: agentFixture('trouble.ts'),
          replicas: { min: 2, max: 2 },
          dependsOn: ['openai'],
          health: { readiness: probe },
        },
      },
    } satisfies Parameters<typeof testNode>[0]
    node = await testNode(config, undefined, 200)
    const { door, submit, settled } = node
    await node.ready(2)
    await until(() => door.health('readiness', { pool: 'p' })?.status === 'unhealthy', {
      timeoutMs: 90_000,
      what: 'the pool to be unready',
    })
    expect(door.health('readiness', { pool: 'p' })?.checks['llm']).toContain('failed: ')
    expect(door.health('readiness', { replica: 'p/0' })?.status).toBe('unhealthy')
    expect(door.health('readiness', {})?.status).toBe('unhealthy')
    expect(door.health('liveness', {})?.status).toBe('healthy')
    const id = await submit('p', {})
    status.code = 200
    expect(await settled(id)).toMatchObject({ status: 'done', countedAttempts: 1 })
    expect(door.health('readiness', { pool: 'p' })?.status).toBe('healthy')
    expect(door.replicas().map((replica) => replica.incarnation)).toEqual([1, 1])
  })
})
