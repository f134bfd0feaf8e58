import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Io } from './io.ts'
import { main } from './program.ts'

interface Seen {
  readonly line: string
  readonly body: string
  readonly authorization: string | undefined
}

/** A node made of canned answers: path (with its query) to status and body. */
class FakeNode {
  readonly seen: Seen[] = []
  readonly answers = new Map<string, readonly { readonly status: number; readonly body: unknown }[]>()
  readonly server: Server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      const line = `${request.method} ${request.url}`
      this.seen.push({ line, body, authorization: request.headers.authorization })
      const [answer, ...later] = this.answers.get(line) ?? []
      if (later.length > 0) this.answers.set(line, later)
      const status = answer?.status ?? 404
      const text =
        typeof answer?.body === 'string' ? answer.body : JSON.stringify(answer?.body ?? { detail: `no ${line}` })
      const type =
        typeof answer?.body === 'string' ? 'text/html' : status < 400 ? 'application/json' : 'application/problem+json'
      response.writeHead(status, { 'content-type': type }).end(text)
    })
  })

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  on(line: string, ...bodies: readonly unknown[]): void {
    this.answers.set(
      line,
      bodies.map((body) => ({ status: 200, body })),
    )
  }
}

let node: FakeNode
let folder: string
let out: string[]
let err: string[]

beforeEach(async () => {
  node = new FakeNode()
  out = []
  err = []
  folder = await mkdtemp(join(tmpdir(), 'prunella-cli-'))
  await new Promise<void>((resolve) => node.server.listen(0, '127.0.0.1', resolve))
})

afterEach(async () => {
  node.server.closeAllConnections()
  await new Promise((resolve) => node.server.close(resolve))
  await rm(folder, { recursive: true })
})

function io(changes: Partial<Io> = {}): Io {
  return {
    folder,
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    progress: null,
    color: false,
    token: 'token-of-the-shell',
    readInput: async () => '{"from":"stdin"}',
    fetch,
    eachSecond: async function* () {},
    onStop: () => () => undefined,
    ...changes,
  }
}

async function cli(line: readonly string[], changes: Partial<Io> = {}): Promise<number> {
  return main([...line, '--url', node.url], io(changes))
}

const task = {
  id: 't_1',
  pool: 'hello',
  status: 'done',
  input: { name: 'Ada' },
  submittedAt: '2026-01-31T12:00:00.000Z',
  finishedAt: '2026-01-31T12:00:01.000Z',
  spent: { tokens: 1_200, usd: 0.25, calls: 3, timeMs: 900 },
  attempts: [
    { replica: 'hello/0', incarnation: 2, startedAt: '2026-01-31T12:00:00.000Z', endedAt: null, outcome: null },
  ],
  output: { greeting: 'Hello' },
  steps: [{ name: 'greet', key: '1', state: 'done' }],
}
const dead = {
  ...task,
  id: 't_2',
  status: 'dead_letter',
  error: { name: 'E', message: 'no \u001b[31mkey\u0007' },
  output: undefined,
}
const incident = {
  id: 'i_1',
  pool: 'hello',
  replica: 'hello/0',
  task: 't_1',
  status: 'open',
  fault: { kind: 'stalled', culprit: 'agent', evidence: ['search has run 121 s'] },
  detectedAt: '2026-01-31T12:00:00.000Z',
  detectionMs: 900,
  recoveryMs: null,
  timeline: [{ at: '2026-01-31T12:00:00.000Z', kind: 'verdict', text: 'stalled' }],
}
const pool = {
  name: 'hello',
  status: 'healthy',
  wanted: 2,
  min: 2,
  max: 2,
  active: 1,
  phases: { ready: 2, quarantined: 0 },
  depth: { queued: 3, scheduled: 1, held: 0, leased: 1 },
  hold: null,
}
const replica = {
  name: 'hello/0',
  phase: 'ready',
  incarnation: 3,
  pid: 42,
  ready: true,
  pulseAgeMs: 120,
  strikes: 1,
  memoryBytes: 50 * 2 ** 20,
  incident: null,
  tasks: [{ id: 't_1', runningMs: 61_000, doing: 'tool search' }],
}

function answerAll(): void {
  node.on('GET /api/v1/pools', { pools: [pool] })
  node.on('GET /api/v1/dependencies', { dependencies: [{ name: 'db', up: false, latencyMs: null, reason: 'refused' }] })
  node.on('GET /api/v1/incidents?open=true&limit=100', { incidents: [incident], cursor: null })
  node.on('GET /api/v1/node', { blindSpots: ['no cgroup'], shuttingDown: false })
  node.on('GET /api/v1/replicas', { replicas: [replica] })
  node.on('GET /api/v1/tasks?limit=20', { tasks: [task, dead], cursor: 'next' })
  node.on('GET /api/v1/tasks/t_1', task)
  node.on('GET /api/v1/incidents?limit=20', { incidents: [incident], cursor: null })
  node.on('GET /api/v1/incidents/i_1', incident)
  node.on('GET /api/v1/why/last', { subject: 'hello/0', culprit: 'agent', text: 'hello/0: stalled.' })
  node.on('GET /api/v1/why/hello/0', { subject: 'hello/0', culprit: null, text: 'hello/0 is ready.' })
  node.on('GET /api/v1/replicas/hello/0/logs', {
    lines: [{ at: '2026-01-31T12:00:00.000Z', stream: 'stderr', text: 'a\u001b[2Jb' }],
  })
  node.on('POST /api/v1/pools/hello/tasks', { id: 't_1', status: 'queued' })
  node.on('GET /api/v1/tasks/t_1?wait=30000', task)
  for (const verb of ['restart', 'drain', 'quarantine', 'release'])
    node.on(`POST /api/v1/replicas/hello/0/${verb}`, { accepted: true, incident: 'i_1', text: `${verb} of hello/0` })
  for (const verb of ['hold', 'resume', 'scale'])
    node.on(`POST /api/v1/pools/hello/${verb}`, { accepted: true, incident: null, text: `${verb} of hello` })
  node.on('POST /api/v1/tasks/t_1/cancel', { accepted: true, incident: null, text: 't_1 is cancelled' })
  for (const verb of ['retry', 'resolve']) node.on(`POST /api/v1/tasks/t_1/${verb}`, { id: 't_1', status: 'queued' })
}

test.each([
  { line: ['status'], says: /^hello +healthy +2\/2 +0 +1 +4 +0 +-$/m },
  { line: ['status'], says: /^db +down +- +refused$/m },
  { line: ['status'], says: /1 open incident: see/ },
  { line: ['status'], says: /^Blind spot: no cgroup$/m },
  { line: ['agents'], says: /^hello\/0 +ready +3 +42 +120ms +1 +50 MiB +t_1 tool search 1m 1s$/m },
  { line: ['tasks'], says: /^t_2 +hello +dead_letter +1 +2026-01-31 12:00:00Z +no key$/m },
  { line: ['tasks'], says: /^There are more/m },
  { line: ['tasks', 't_1'], says: /^hello\/0 +2 +2026-01-31 12:00:00Z +- +running$/m },
  { line: ['incidents'], says: /^i_1 +2026-01-31 12:00:00Z +hello\/0 +stalled +agent +open +-$/m },
  { line: ['incidents', 'i_1'], says: /Noticed 900ms after the first sign, not recovered yet/ },
  { line: ['why'], says: /^hello\/0: stalled\.$/ },
  { line: ['why', 'hello/0'], says: /is ready/ },
  { line: ['logs', 'hello/0'], says: /^2026-01-31 12:00:00Z stderr ab$/ },
  { line: ['submit', 'hello', '{"name":"Ada"}'], says: /^t_1 queued$/ },
  { line: ['submit', 'hello', '{"name":"Ada"}', '--wait'], says: /"greeting": "Hello"/ },
  { line: ['restart', 'hello/0'], says: /^restart of hello\/0 \(incident i_1\)$/ },
  { line: ['drain', 'hello/0'], says: /^drain of/ },
  { line: ['quarantine', 'hello/0'], says: /^quarantine of/ },
  { line: ['release', 'hello/0'], says: /^release of/ },
  { line: ['hold', 'hello'], says: /^hold of hello$/ },
  { line: ['resume', 'hello'], says: /^resume of/ },
  { line: ['scale', 'hello', '2'], says: /^scale of/ },
  { line: ['cancel', 't_1'], says: /^t_1 is cancelled$/ },
  { line: ['retry', 't_1'], says: /^t_1 queued$/ },
  { line: ['resolve', 't_1', '--repeat'], says: /^t_1 queued$/ },
])('$line says it in words, and with --json as one object', async ({ line, says }) => {
  answerAll()
  expect(await cli(line)).toBe(0)
  expect(out.join('\n')).toMatch(says)
  expect(err).toEqual([])
  answerAll()
  out = []
  expect(await cli([...line, '--json'])).toBe(0)
  expect(out).toHaveLength(1)
  expect(JSON.parse(out[0] ?? '')).toBeTypeOf('object')
  expect(err).toEqual([])
  expect(new Set(node.seen.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer token-of-the-shell']))
})

test('what is sent is what was said', async () => {
  answerAll()
  await cli(['submit', 'hello', '-', '--priority', '5', '--delay', '1s', '--deadline', '1m', '--key', 'k'])
  await cli(['restart', 'hello/0', '--soft', '--reason', 'slow'])
  await cli(['resolve', 't_1', '--result', 'null', '--reason', 'seen at the bank'])
  expect(node.seen.map(({ body }) => JSON.parse(body))).toEqual([
    { input: { from: 'stdin' }, priority: 5, delay: 1_000, deadline: 60_000, idempotencyKey: 'k' },
    { kind: 'soft', reason: 'slow' },
    { kind: 'result', result: null, reason: 'seen at the bank' },
  ])
})

test('waiting asks again until the task has ended, and shows the time on a terminal', async () => {
  node.on('POST /api/v1/pools/hello/tasks', { id: 't_1', status: 'queued' })
  node.on('GET /api/v1/tasks/t_1?wait=30000', { ...task, status: 'leased' }, dead)
  const shown: (string | null)[] = []
  const eachSecond = async function* () {
    yield 1
    yield 2
  }
  const code = await cli(['submit', 'hello', '1', '--wait'], { progress: (line) => void shown.push(line), eachSecond })
  expect(code).toBe(1)
  expect(shown.at(0)).toMatch(/^t_1 \w+ 1\.0s$/)
  expect(shown.at(-1)).toBeNull()
  expect(err).toEqual(['t_2 is dead letter: no key. See `prunella why t_2`.'])
  expect(out).toEqual([])
})

test('a held task ends the waiting: a person must answer', async () => {
  node.on('POST /api/v1/pools/hello/tasks', { id: 't_1', status: 'queued' })
  node.on('GET /api/v1/tasks/t_1?wait=30000', { ...task, status: 'held', reason: 'the charge may have happened' })
  expect(await cli(['submit', 'hello', '1', '--wait'])).toBe(1)
  expect(err).toEqual(['t_1 is held: the charge may have happened. Answer it with `prunella resolve t_1`.'])
})

test('input that is not JSON is a mistake of the caller', async () => {
  expect(await cli(['submit', 'hello', '-'], { readInput: async () => 'Ada' })).toBe(2)
  expect(node.seen).toEqual([])
})

test.each([
  { status: 404, body: { detail: 'There is no task t_1.', code: 'PRUNELLA_NOT_FOUND' }, says: 'There is no task t_1.' },
  { status: 401, body: { detail: 'A token is needed.' }, says: /^A token is needed\. Set PRUNELLA_TOKEN or --token/ },
  { status: 409, body: { detail: 'bad \u001b[31mred' }, says: 'bad red' },
  { status: 404, body: '<html>', says: /answers, but not as Prunella does \(status 404\)/ },
  { status: 200, body: '<html>', says: /answers, but not as Prunella does \(status 200\)/ },
])('a refusal ($status) is one line on standard error', async ({ status, body, says }) => {
  node.answers.set('GET /api/v1/tasks/t_1', [{ status, body }])
  expect(await cli(['tasks', 't_1', '--json'])).toBe(1)
  expect(out).toEqual([])
  expect(err).toHaveLength(1)
  expect(err[0]).toMatch(says)
})

test('where nobody listens, it says how to start', async () => {
  const { url } = node
  await new Promise((resolve) => node.server.close(resolve))
  expect(await main(['status', '--url', url], io())).toBe(1)
  expect(err).toEqual([`no Prunella answers at ${url}: start it with \`prunella up\``])
  await new Promise<void>((resolve) => node.server.listen(0, '127.0.0.1', resolve))
})

test('follow prints one object a line, resumes where the stream broke, and ends when it is told to', async () => {
  let stop = () => {}
  const asked: (string | null)[] = []
  const event = (id: string, change: string) =>
    `id: ${id}\nevent: incident\ndata: ${JSON.stringify({ at: incident.detectedAt, change, incident })}\n\n`
  const streams = [
    `retry: 1\n\n: alive\n\n${event('e.1', 'opened')}`,
    `event: task\ndata: {}\n\n${event('e.2', 'changed')}`,
  ]
  const fake: typeof fetch = async (_, init) => {
    if (asked.length === 1 && err.length === 0) throw Object.assign(new Error('away'), { code: 'ECONNRESET' })
    asked.push(new Headers(init?.headers).get('last-event-id'))
    return new Response(streams.shift(), { status: 200 })
  }
  const streaming = io({
    fetch: fake,
    onStop: (listener) => {
      stop = listener
      return () => undefined
    },
    out: (line) => {
      out.push(line)
      if (out.length === 2) stop()
    },
  })
  const code = await main(['incidents', '--follow', '--json', '--url', 'http://127.0.0.1:1'], streaming)
  expect(code).toBe(0)
  expect(asked).toEqual([null, 'e.1'])
  expect(err).toEqual(['http://127.0.0.1:1 cannot be reached (ECONNRESET): check --url; trying again'])
  expect(out.map((line) => JSON.parse(line).change)).toEqual(['opened', 'changed'])
})

test.each([
  { args: ['init'], file: 'agents/hello.ts', holds: "from 'prunella/agent'", agent: "agent: './agents/hello.ts'" },
  {
    args: ['init', '--python'],
    file: 'agents/prunella.py',
    holds: 'PROTOCOL',
    agent: "['python3', './agents/hello.py']",
  },
  { args: ['init', '--command'], file: 'agents/hello.sh', holds: '$(cat)', agent: "protocol: 'none'" },
])('$args writes $file, and never over another', async ({ args, file, holds, agent }) => {
  expect(await main(args, io())).toBe(0)
  expect(await readFile(join(folder, file), 'utf8')).toContain(holds)
  expect(await readFile(join(folder, 'prunella.config.ts'), 'utf8')).toContain(agent)
  expect(await readFile(join(folder, '.gitignore'), 'utf8')).toContain('.prunella/')
  await writeFile(join(folder, file), 'mine')
  await rm(join(folder, 'prunella.config.ts'))
  expect(await main(args, io())).toBe(1)
  expect(err.at(-1)).toContain(`${file} is there already`)
  expect(await readFile(join(folder, file), 'utf8')).toBe('mine')
  await expect(readFile(join(folder, 'prunella.config.ts'))).rejects.toThrow('ENOENT')
})

test('the port and the token come from the folder where nothing else is said', async () => {
  const port = new URL(node.url).port
  await writeFile(
    join(folder, 'prunella.config.json'),
    `{"http":{"port":${port}},"pools":{"a":{"agent":{"command":["cat"]}}}}`,
  )
  await mkdir(join(folder, '.prunella'))
  await writeFile(join(folder, '.prunella/token'), 'token-of-the-file\n')
  node.on('GET /api/v1/why/last', { text: 'There was no incident.' })
  expect(await main(['why'], io({ token: null }))).toBe(0)
  expect(await main(['why'], io())).toBe(0)
  expect(await main(['why', '--token', 'token-of-the-line'], io())).toBe(0)
  expect(node.seen.map(({ authorization }) => authorization)).toEqual([
    'Bearer token-of-the-file',
    'Bearer token-of-the-shell',
    'Bearer token-of-the-line',
  ])
})

test('the token of this folder is not sent to another machine', async () => {
  await mkdir(join(folder, '.prunella'))
  await writeFile(join(folder, '.prunella/token'), 'token-of-the-file\n')
  const sent: (string | null)[] = []
  const fake: typeof fetch = async (_, init) => {
    sent.push(new Headers(init?.headers).get('authorization'))
    return Response.json({ text: 'x' })
  }
  for (const url of ['http://elsewhere.test', 'http://127.0.0.1.elsewhere.test', 'http://localhost:1'])
    expect(await main(['why', '--url', url], io({ token: null, fetch: fake }))).toBe(0)
  expect(sent).toEqual([null, null, 'Bearer token-of-the-file'])
})

test.each([
  { args: ['why', '--config', 'absent.ts'], code: 78, says: 'There is no configuration file' },
  { args: ['up'], code: 78, says: 'Make one with `prunella init`' },
  { args: ['why', '--url', 'elsewhere'], code: 2, says: '--url must be an address' },
])('$args ends with $code', async ({ args, code, says }) => {
  expect(await main(args, io())).toBe(code)
  expect(err.join('\n')).toContain(says)
})
