import { describe, expect, test } from 'vitest'
import { call, raw, serveFakeDoor, tokens } from '../../test/http.ts'
import { createRoutes } from './routes/index.ts'

const ranks = ['read', 'submit', 'operate', 'admin'] as const
const { door, server } = serveFakeDoor()

/** A path that exists, for the parameters of a route. */
function fill(path: string): string {
  return path
    .replace(/tasks\/:id/, 'tasks/t1')
    .replace(/incidents\/:id/, 'incidents/i1')
    .replace(':pool', 'support')
    .replace(':n', '0')
    .replace('*', 'support/0')
}

describe('every route × method × role', () => {
  const cases = createRoutes().flatMap((route) =>
    [null, 'wrong', ...ranks].flatMap((role) => ({ method: route.method, path: route.path, needs: route.role, role })),
  )
  test.each(cases)('$method $path as $role', async ({ method, path, needs, role }) => {
    const token =
      role === null
        ? undefined
        : role === 'wrong'
          ? 'wrong-token-wrong-token'
          : tokens.find((one) => one.role === role)?.value
    const { status } = await call(server().url, method, fill(path), { token, body: method === 'POST' ? {} : undefined })
    const rank = (ranks as readonly (string | null)[]).indexOf(role)
    if (rank === -1) expect([401, 429]).toContain(status)
    else if (rank < ranks.indexOf(needs)) expect(status).toBe(403)
    else expect([200, 201, 400]).toContain(status) // 400: an empty body where fields are needed.
    if (status === 401 || status === 403 || status === 429) expect(door.calls).toEqual([])
  })

  // The matrix above believes the table; this does not.
  test('reading needs read, tasks need submit, everything else that changes something needs operate', () => {
    for (const { method, path, role } of createRoutes()) {
      const submits = /\/tasks$|\/cancel$/.test(path)
      expect(role, `${method} ${path}`).toBe(method === 'GET' ? 'read' : submits ? 'submit' : 'operate')
    }
  })

  const paths = [...new Set(createRoutes().map(({ path }) => path))]
  test.each(paths)('no other method on %s', async (path) => {
    const own = new Set<string>(
      createRoutes()
        .filter((route) => route.path === path)
        .map(({ method }) => method),
    )
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter((one) => !own.has(one))) {
      const without = await call(server().url, method, fill(path))
      const withAdmin = await call(server().url, method, fill(path), { token: tokens[3]?.value })
      expect([without.status, withAdmin.status], method).toEqual([401, 404])
    }
    expect(door.calls).toEqual([])
  })
})

describe('browsers', () => {
  const admin = tokens[3]?.value
  test.each([
    { name: 'a foreign name', headers: { host: 'evil.example' } },
    { name: 'a foreign name with our port', headers: { host: 'evil.example:8080' } },
    { name: 'our name as the start of another', headers: { host: 'localhost.evil.example' } },
    { name: 'no valid host', headers: { host: 'a b' } },
    { name: 'a foreign page', headers: { host: 'localhost', origin: 'http://evil.example' } },
    { name: 'a page without an origin', headers: { host: 'localhost', origin: 'null' } },
    { name: 'a page on another port', headers: { host: 'localhost:8080', origin: 'http://localhost:9090' } },
  ])('$name is refused on every method', async ({ headers }) => {
    for (const [method, path] of [
      ['GET', '/api/v1/pools'],
      ['GET', '/api/v1/events'],
      ['POST', '/api/v1/pools/support/hold'],
      ['DELETE', '/api/v1/pools'],
      ['OPTIONS', '/api/v1/pools'],
      ['GET', '/health/liveness'],
      ['GET', '/'],
    ] as const) {
      const answer = await raw(server().url, method, path, { ...headers, authorization: `Bearer ${admin}` })
      expect(answer.status, `${method} ${path}`).toBe(403)
      expect(answer.headers['access-control-allow-origin']).toBeUndefined()
    }
    expect(door.calls).toEqual([])
  })

  test.each(['localhost', '127.0.0.1', '[::1]:80', '10.1.2.3:8080', 'prunella.example', 'LOCALHOST:1'])(
    '%s is served',
    async (host) => {
      const answer = await raw(server().url, 'GET', '/api/v1/pools', {
        host,
        origin: `http://${host}`,
        authorization: `Bearer ${admin}`,
      })
      expect(answer.status).toBe(200)
    },
  )

  test.each([
    { type: 'text/plain', body: '{"reason":"csrf"}' },
    { type: 'application/x-www-form-urlencoded', body: 'reason=csrf' },
    { type: 'multipart/form-data; boundary=x', body: '--x--' },
    { type: 'application/jsonp', body: '{}' },
  ])('a form ($type) changes nothing', async ({ type, body }) => {
    const answer = await raw(
      server().url,
      'POST',
      '/api/v1/pools/support/hold',
      { authorization: `Bearer ${admin}`, 'content-type': type },
      body,
    )
    expect(answer.status).toBe(415)
    expect(door.calls).toEqual([])
  })

  test('the page runs no inline script, loads nothing foreign and may not be framed', async () => {
    const answer = await raw(server().url, 'GET', '/', {})
    expect(answer.status).toBe(200)
    expect(answer.headers['content-security-policy']).toMatch(
      /default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/,
    )
    expect(answer.text).not.toMatch(/<script(?![^>]*src=)|style=|https?:\/\//)
    for (const path of ['/page.js', '/page.css']) {
      const file = await raw(server().url, 'GET', path, {})
      expect(file.status).toBe(200)
      expect(file.text).not.toMatch(/innerHTML|outerHTML|insertAdjacent|document\.write|https?:\/\//)
    }
  })
})

describe('answers', () => {
  const token = tokens[2]?.value
  const get = (path: string) => call(server().url, 'GET', path, { token })

  test('a task, with ISO times', async () => {
    expect((await get('/api/v1/tasks/t1')).body).toMatchObject({
      id: 't1',
      attempts: [
        {
          replica: 'support/0',
          incarnation: 2,
          startedAt: '1970-01-01T00:00:01.000Z',
          endedAt: '1970-01-01T00:00:02.000Z',
          outcome: 'crashed',
        },
      ],
      steps: [{ name: 'plan', key: '1', state: 'done', result: 7 }],
      output: { ok: true },
    })
  })

  test('an incident, with its times', async () => {
    expect((await get('/api/v1/incidents/i1')).body).toMatchObject({
      id: 'i1',
      fault: { kind: 'crashed', culprit: 'agent', evidence: ['exit code 1'] },
      detectedAt: '1970-01-01T00:00:01.500Z',
      detectionMs: 500,
      recoveryMs: 1_500,
      timeline: [{ at: '1970-01-01T00:00:01.500Z', kind: 'verdict', text: 'crashed' }],
    })
  })

  test.each([
    { path: '/api/v1/tasks/t1?wait=90s', call: ['waitForTask', 't1', 60_000] },
    { path: '/api/v1/tasks/t1?wait=2s', call: ['waitForTask', 't1', 2_000] },
    { path: '/api/v1/tasks/t1?wait=250', call: ['waitForTask', 't1', 250] },
    { path: '/api/v1/tasks?status=held&limit=500', call: ['tasks', { status: 'held', limit: 500 }] },
    {
      path: '/api/v1/incidents?open=true&replica=support/0',
      call: ['incidents', { open: true, replica: 'support/0', limit: 50 }],
    },
    { path: '/api/v1/why/support%2F0', call: ['why', 'support/0'] },
    { path: '/api/v1/why/last', call: ['why', 'last'] },
  ])('$path asks the door', async ({ path, call: wanted }) => {
    expect((await get(path)).status).toBe(200)
    expect(door.calls).toEqual([wanted])
  })

  test.each([
    '/api/v1/tasks/unknown',
    '/api/v1/tasks/..%2F..%2Fx',
    '/api/v1/tasks/__proto__',
    '/api/v1/incidents/unknown',
    '/api/v1/replicas/support/99',
    '/api/v1/replicas/support/x',
    '/api/v1/why/unknown',
    '/api/v1/nothing',
  ])('%s is not there', async (path) => {
    expect(await get(path)).toMatchObject({ status: 404, body: { code: 'PRUNELLA_NOT_FOUND' } })
  })

  test.each([
    '/api/v1/tasks?limit=501',
    '/api/v1/tasks?limit=0',
    '/api/v1/tasks?status=odd',
    '/api/v1/tasks?x=1',
    '/api/v1/tasks/t1?wait=long',
  ])('%s is invalid', async (path) => {
    expect(await get(path)).toMatchObject({ status: 400, body: { code: 'PRUNELLA_INVALID' } })
  })

  test.each([
    {
      path: 'replicas/support/0/restart',
      body: { kind: 'soft', reason: 'slow' },
      command: { kind: 'restart', replica: 'support/0', rung: 'soft' },
    },
    { path: 'replicas/support/0/drain', body: undefined, command: { kind: 'drain', replica: 'support/0' } },
    { path: 'replicas/support/0/quarantine', body: {}, command: { kind: 'quarantine', replica: 'support/0' } },
    {
      path: 'replicas/support/0/release',
      body: { reason: 'fixed' },
      command: { kind: 'release', replica: 'support/0' },
    },
    { path: 'replicas/support/0/absolve', command: { kind: 'absolve', replica: 'support/0' } },
    { path: 'pools/support/hold', body: {}, command: { kind: 'hold', pool: 'support' } },
    { path: 'pools/support/resume', body: {}, command: { kind: 'resume', pool: 'support' } },
    {
      path: 'pools/support/resume',
      body: { force: true },
      command: { kind: 'resume', pool: 'support', force: true },
    },
    { path: 'pools/support/scale', body: { replicas: 3 }, command: { kind: 'scale', pool: 'support', replicas: 3 } },
    { path: 'tasks/t1/cancel', body: {}, command: { kind: 'cancel', taskId: 't1' } },
  ])('$path is an operator command', async ({ path, body, command }) => {
    const answer = await call(server().url, 'POST', `/api/v1/${path}`, {
      token,
      body,
      headers: { 'x-prunella-actor': 'Ada\u009b31m' },
    })
    expect(answer).toMatchObject({ status: 200, body: { accepted: true, incident: 'i1' } })
    expect(door.calls).toEqual([['operate', command, 'Ada (token operator)', body?.reason ?? '']])
  })

  test.each([
    { body: { fault: 'crash', pool: 'support' }, asked: { fault: 'crash', pool: 'support', reason: '' } },
    {
      body: { fault: 'freeze', replica: 'support/0', for: '10s', dependency: 'db', reason: 'drill' },
      asked: { fault: 'freeze', replica: 'support/0', dependency: 'db', reason: 'drill', forMs: 10_000 },
    },
  ])('chaos: $body.fault is asked for and answered', async ({ body, asked }) => {
    const answer = await call(server().url, 'POST', '/api/v1/chaos', { token, body })
    const strike = { at: '1970-01-01T00:00:02.000Z', replica: 'support/0', incarnation: 2, task: null }
    expect(answer).toMatchObject({ status: 201, body: { id: 'x1', at: '1970-01-01T00:00:01.000Z', strikes: [strike] } })
    expect(door.calls).toEqual([['inject', asked, 'token operator']])
  })

  test.each([
    { body: { fault: 'earthquake', pool: 'support' }, names: 'body.fault' },
    { body: { fault: 'crash' }, names: 'neither a pool nor a replica' },
    { body: { fault: 'crash', replica: 'support' }, names: 'body.replica' },
    { body: { fault: 'crash', pool: 'support', for: '11m' }, names: 'body.for' },
  ])('chaos refuses $body', async ({ body, names }) => {
    const answer = await call(server().url, 'POST', '/api/v1/chaos', { token, body })
    expect(answer).toMatchObject({ status: 400, body: { detail: expect.stringContaining(names) } })
    expect(door.calls).toEqual([])
  })

  test('what the supervisor refuses is a conflict', async () => {
    door.conflict = true
    const answer = await call(server().url, 'POST', '/api/v1/pools/support/resume', { token })
    expect(answer).toMatchObject({ status: 409, body: { code: 'PRUNELLA_CONFLICT', detail: 'not held' } })
  })

  test.each([
    { answer: { kind: 'repeat', reason: 'ok' }, passed: { kind: 'repeat' } },
    { answer: { kind: 'result', result: null }, passed: { kind: 'result', result: null } },
    { answer: { kind: 'fail', reason: 'no' }, passed: { kind: 'fail', reason: 'no' } },
  ])('resolve with $answer.kind', async ({ answer, passed }) => {
    expect((await call(server().url, 'POST', '/api/v1/tasks/t1/resolve', { token, body: answer })).status).toBe(200)
    expect(door.calls[0]?.slice(0, 3)).toEqual(['resolve', 't1', passed])
  })

  test('a failure of ours tells nothing of itself', async () => {
    door.broken = true
    const answer = await get('/api/v1/tasks/t1')
    expect(answer).toMatchObject({ status: 500, body: { code: 'PRUNELLA_INTERNAL' } })
    expect(JSON.stringify(answer.body)).not.toContain('inner secret')
  })

  test('the OpenAPI document has every route', async () => {
    const { body } = await get('/api/openapi.json')
    const { paths } = body as { paths: Record<string, Record<string, unknown>> }
    for (const { path, method } of createRoutes()) {
      const name = path.replace(/:(\w+)/g, '{$1}').replace('*', '{subject}')
      expect(paths[name]?.[method.toLowerCase()], name).toBeDefined()
    }
    expect(Object.keys(paths)).toContain('/health/readiness')
  })

  test('metrics are text', async () => {
    const answer = await raw(server().url, 'GET', '/metrics', { authorization: `Bearer ${token}` })
    expect(answer).toMatchObject({
      status: 200,
      text: 'up 1\n',
      headers: { 'content-type': expect.stringContaining('text/plain; version=0.0.4') },
    })
  })
})
