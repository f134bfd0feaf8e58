import { request } from 'node:http'
import { afterAll, beforeAll, beforeEach } from 'vitest'
import { type HttpServer, startHttp, type Token } from '../src/http/index.ts'
import { createClock } from '../src/io/clock.ts'
import type { Injection } from '../src/model/chaos.ts'
import type { Incident } from '../src/model/incident.ts'
import type { HealthReport } from '../src/model/probe.ts'
import type { PoolView, ReplicaView } from '../src/model/snapshot.ts'
import type { TaskView } from '../src/model/task.ts'
import type { NodeDoor, StreamEvent } from '../src/port/node.ts'

export const tokens: readonly Token[] = [
  { name: 'reader', role: 'read', value: 'read-token-read-token' },
  { name: 'submitter', role: 'submit', value: 'submit-token-submit-token' },
  { name: 'operator', role: 'operate', value: 'operate-token-operate-token' },
  { name: 'admin', role: 'admin', value: 'admin-token-admin-token' },
]

/** A node that remembers what it was asked. Its answers can be bent. */
export interface FakeDoor extends NodeDoor {
  /** Questions with a consequence or an argument, in order. */
  readonly calls: unknown[][]
  full: boolean
  conflict: boolean
  broken: boolean
  report: HealthReport
  readonly listeners: Set<(event: StreamEvent) => void>
  /** Sends an event to everybody, and keeps it. */
  emit(text: string): void
  reset(): void
}

const task: TaskView = {
  id: 't1',
  pool: 'support',
  status: 'done',
  input: { question: '<script>' },
  priority: 0,
  idempotencyKey: null,
  needs: [],
  submittedMs: 500,
  notBeforeMs: null,
  deadlineMs: null,
  finishedMs: 3_000,
  fence: 2,
  lease: null,
  spent: { tokens: 1_200, usd: 0.25, calls: 3, timeMs: 1_000 },
  attempts: [
    {
      attempt: 1,
      replica: 'support/0',
      incarnation: 2,
      startedMs: 1_000,
      endedMs: 2_000,
      outcome: 'crashed',
      counted: true,
    },
  ],
  countedAttempts: 1,
  output: { ok: true },
  error: null,
  reason: null,
  steps: [
    { state: 'done', name: 'plan', key: '1', repeat: 'safe_to_retry', result: 7, startedMs: 1_100, endedMs: 1_200 },
  ],
}

const incident: Incident = {
  id: 'i1',
  pool: 'support',
  replica: 'support/0',
  taskId: 't1',
  dependency: null,
  verdict: null,
  status: 'probation',
  fault: { kind: 'crashed', culprit: 'agent', evidence: ['exit code 1'] },
  firstSignMs: 1_000,
  detectedMs: 1_500,
  recoveredMs: 3_000,
  closedMs: null,
  actions: [
    {
      kind: 'hard_restart',
      status: 'done',
      atMs: 1_500,
      endedMs: 3_000,
      replica: 'support/0',
      incarnation: 2,
      taskId: null,
      strike: 1,
      reason: 'strike 1',
    },
  ],
  timeline: [{ atMs: 1_500, kind: 'verdict', text: 'crashed' }],
}

const replica: ReplicaView = {
  name: 'support/0',
  pool: 'support',
  phase: 'ready',
  incarnation: 3,
  pid: 42,
  ready: true,
  pulseAgeMs: 10.4,
  progressAgeMs: null,
  strikes: 1,
  probation: true,
  tasks: [],
  memoryBytes: 1,
  incidentId: 'i1',
  checks: { db: { ok: false, reason: 'gone' } },
}

const pool: PoolView = {
  name: 'support',
  wanted: 1,
  min: 1,
  max: 1,
  phases: { waiting: 0, starting: 0, ready: 1, draining: 0, stopping: 0, quarantined: 0 },
  depth: { queued: 0, scheduled: 0, held: 0, leased: 0, suspects: 0, nextDueMs: null },
  active: 0,
  status: 'healthy',
  hold: null,
}

const injection: Injection = {
  id: 'x1',
  fault: 'crash',
  pool: 'support',
  replica: 'support/0',
  dependency: null,
  who: 'operator',
  atMs: 1_000,
  forMs: null,
  strikes: [{ atMs: 2_000, replica: 'support/0', incarnation: 2, taskId: null }],
}

export function createFakeDoor(): FakeDoor {
  const events: StreamEvent[] = []
  const note = (...call: unknown[]) => void door.calls.push(call)
  const door: FakeDoor = {
    calls: [],
    full: false,
    conflict: false,
    broken: false,
    report: { status: 'healthy', latencyMs: 0, checks: {} },
    listeners: new Set(),
    emit(text) {
      const event: StreamEvent = {
        id: `e.${events.length + 1}`,
        notice: { kind: 'pool', pool: 'support', text, atMs: 1_000 },
      }
      events.push(event)
      for (const listener of door.listeners) listener(event)
    },
    reset() {
      door.calls.length = 0
      Object.assign(door, { full: false, conflict: false, broken: false })
    },
    ...createQuestions(() => door, note),
    node: () => ({ startedMs: 0, lastSweepMs: 1, lagMs: 2, shuttingDown: false, blindSpots: [] }),
    pools: () => [pool],
    replicas: () => [replica],
    dependencies: () => [],
    health(kind, scope) {
      note('health', kind, scope)
      return scope.pool === 'gone' ? null : door.report
    },
    logs: () => [{ atMs: 1, stream: 'stdout', text: 'hello' }],
    incident: async (id) => (id === 'i1' ? incident : null),
    async incidents(query) {
      note('incidents', query)
      return { rows: [incident], cursor: null }
    },
    audit: async () => [{ atMs: 1, who: 'Ada', what: 'hold', target: 'support', reason: '' }],
    async why(subject) {
      note('why', subject)
      return subject === 'unknown' ? null : { subject, culprit: 'agent', text: 'It crashed.' }
    },
    subscribe(lastEventId, listener) {
      const from = lastEventId === null ? events.length : events.findIndex(({ id }) => id === lastEventId) + 1
      const missed = lastEventId !== null && from === 0
      if (!missed) for (const event of events.slice(from)) listener(event)
      door.listeners.add(listener)
      return { missed, stop: () => door.listeners.delete(listener) }
    },
    metrics: async () => 'up 1\n',
  }
  return door
}

type Questions = 'inject' | 'injections' | 'submit' | 'task' | 'waitForTask' | 'tasks' | 'retry' | 'resolve' | 'operate'

function createQuestions(self: () => FakeDoor, note: (...call: unknown[]) => void): Pick<NodeDoor, Questions> {
  const keys = new Map<string, string>()
  let submitted = 0
  return {
    async submit(name, submissions) {
      note('submit', name, submissions)
      return submissions.map(({ idempotencyKey = null }) => {
        if (self().full) return { kind: 'refused', reason: 'queue_full' }
        const known = idempotencyKey === null ? undefined : keys.get(idempotencyKey)
        if (known !== undefined) return { kind: 'existing', id: known, status: 'queued' }
        const id = `n${++submitted}`
        if (idempotencyKey !== null) keys.set(idempotencyKey, id)
        return { kind: 'created', id, status: 'queued' }
      })
    },
    async task(id) {
      if (self().broken) throw new Error('inner secret')
      return id === 't1' ? task : null
    },
    async waitForTask(id, timeoutMs) {
      note('waitForTask', id, timeoutMs)
      return id === 't1' ? task : null
    },
    async tasks(query) {
      note('tasks', query)
      return { rows: [task], cursor: null }
    },
    async retry(id, input, who, reason) {
      note('retry', id, input, who, reason)
      return id === 't1' ? 'queued' : 'not_found'
    },
    async resolve(id, answer, who, reason) {
      note('resolve', id, answer.kind === 'repeat' ? { kind: 'repeat' } : answer, who, reason)
      return 'queued'
    },
    async inject(request, who) {
      note('inject', request, who)
      return injection
    },
    injections: () => [injection],
    async operate(command, who, reason) {
      note('operate', command, who, reason)
      return self().conflict
        ? { kind: 'conflict', text: 'not held' }
        : { kind: 'accepted', incidentId: 'i1', text: 'done' }
    },
  }
}

export interface CallOptions {
  readonly token?: string | undefined
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** A call as a program makes it. A stream is only opened. */
export async function call(url: string, method: string, path: string, { token, body, headers = {} }: CallOptions = {}) {
  const cut = new AbortController()
  const response = await fetch(url + path, {
    method,
    signal: cut.signal,
    headers: {
      ...headers,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const type = response.headers.get('content-type') ?? ''
  if (type.includes('event-stream')) {
    cut.abort()
    return { status: response.status, headers: response.headers, body: null }
  }
  const text = await response.text()
  const answer: unknown = type.includes('json') ? JSON.parse(text) : text
  return { status: response.status, headers: response.headers, body: answer }
}

/** A call with any headers at all, `Host` included. */
export function raw(
  url: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: string | Buffer,
) {
  const { hostname, port } = new URL(url)
  return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>((resolve, reject) => {
    const sent = request({ host: hostname, port, method, path, headers, agent: false }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(parts).toString() }),
      )
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

export const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }

/** A server in front of a fake node for all tests of a file; before each of them the node forgets what it was asked. */
export function serveFakeDoor(): { readonly door: FakeDoor; readonly server: () => HttpServer } {
  const door = createFakeDoor()
  let server: HttpServer | null = null
  beforeAll(async () => {
    const names = ['prunella.example']
    server = await startHttp({ door, clock: createClock(), log: silent, host: '127.0.0.1', port: 0, names, tokens })
  })
  afterAll(() => server?.close())
  beforeEach(() => door.reset())
  return {
    door,
    server() {
      if (server === null) throw new Error('the server starts before the first test, not before that')
      return server
    },
  }
}
