import { cpSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Change, Claim } from '../../../model/change.ts'
import type { NewTask } from '../../../model/task.ts'
import type { Request } from './calls.ts'
import { type Connection, connect } from './connection.ts'
import { Engine } from './engine.ts'

let folder: string
let path: string
let engine: Engine

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'prunella-engine-'))
  path = join(folder, 'made', 'state.db')
})
afterEach(() => {
  vi.restoreAllMocks()
  engine.close()
  rmSync(folder, { recursive: true })
})

function task(id: string, more: Partial<NewTask> = {}): NewTask {
  const times = { notBeforeMs: null, deadlineMs: null, submittedMs: 0 }
  return { id, pool: 'p', input: null, priority: 0, idempotencyKey: null, needs: [], ...times, ...more }
}

function submit(...tasks: NewTask[]): Request {
  return [1, 'submit', tasks, 1_000]
}

/** Each reply's value, or the code of its failure. */
function run(...requests: Request[]): unknown[] {
  return engine.run(requests).map((text) => {
    const [, value, failure] = JSON.parse(text)
    return failure === undefined ? value : `${failure.code}: ${failure.message}`
  })
}

function stored(id: string): boolean {
  return run([1, 'task', id])[0] !== null
}

/** Opens with a hold on every connection, to make it ill. */
function open(): Connection[] {
  const connections: Connection[] = []
  engine = new Engine(path, (where) => {
    const connection = connect(where)
    connections.push(connection)
    return connection
  })
  return connections
}

function commits(): number {
  return Number(connections[0]?.db.prepare('SELECT commits FROM meta').get()?.commits)
}

let connections: Connection[] = []

function failNextCommit(errcode: number, message: string): void {
  const [{ db }] = connections as [Connection]
  const exec = db.exec.bind(db)
  let failures = 1
  vi.spyOn(db, 'exec').mockImplementation((sql) => {
    if (sql !== 'COMMIT' || failures === 0) return exec(sql)
    failures -= 1
    throw Object.assign(new Error(message), { errcode })
  })
}

function commit(decisions: readonly Change[][], claims: readonly Claim[] = []): Request {
  return [1, 'commit', { nowMs: 0, decisions, claims }]
}

const claim: Claim = {
  pool: 'p',
  replica: 'p/0',
  incarnation: 1,
  count: 1,
  idle: true,
  hasSibling: true,
  blocked: [],
  leaseUntilMs: 0,
}

/** A decision on task `before` under its first lease. */
function done(fence: number): Change[] {
  const under = { taskId: 'before', fence }
  const step = { name: 's', key: '1', repeat: 'safe_to_retry', result: 1, startedMs: 0, atMs: 0 } as const
  const end = { atMs: 0, outcome: 'done', counted: true, lostReplica: null, error: null, previous: null } as const
  const next = { status: 'done', output: 1 } as const
  return [
    { kind: 'step_done', ...under, ...step },
    { kind: 'end_attempt', ...under, ...end, next },
  ]
}

describe('transactions', () => {
  beforeEach(() => {
    connections = open()
  })

  test('all writes of one run share a commit; a run that changes nothing has none', () => {
    run(submit(task('a')), submit(task('b')), [1, 'prune', { finishedTasks: 9, closedIncidents: 9 }])
    expect(commits()).toBe(1)
    run(commit([], [{ ...claim, pool: 'q' }]), [1, 'depths'])
    expect(commits()).toBe(1)
  })

  test('reads of a run see its writes', () => {
    expect(run([1, 'depths'], submit(task('a')))).toMatchObject([[{ kind: 'created' }], { p: { queued: 1 } }])
  })

  test('a request with a defect fails alone', () => {
    const broken = submit(task('broken', { priority: {} as number }))
    const [first, second, third] = run(submit(task('a')), broken, submit(task('b')))
    expect([first, third]).toMatchObject([[{ kind: 'created' }], [{ kind: 'created' }]])
    expect(second).toMatch(/^PRUNELLA_STORE_FAILED/)
    expect([stored('a'), stored('broken'), stored('b')]).toEqual([true, false, true])
  })
})

describe('a bad disk', () => {
  beforeEach(() => {
    connections = open()
    run(submit(task('before')))
  })

  test('full: nothing of the batch is kept, and it goes on when there is room again', () => {
    const [{ db }] = connections as [Connection]
    db.exec('PRAGMA wal_checkpoint(TRUNCATE); PRAGMA max_page_count = 1')
    const large = Array.from({ length: 50 }, (_, index) => task(`large${index}`, { input: 'x'.repeat(4_000) }))
    const [first, second] = run(submit(task('small')), submit(...large))
    expect(first).toMatch(/^PRUNELLA_STORE_FAILED: .*Free space on its disk; no restart is needed/)
    expect(second).toMatch(/^PRUNELLA_STORE_FAILED/)
    expect([stored('small'), stored('large0'), stored('before')]).toEqual([false, false, true])
    expect(run([1, 'depths'])).toMatchObject([{ p: { queued: 1 } }])
    db.exec('PRAGMA max_page_count = 1000000')
    expect(run(submit(task('small')))).toMatchObject([[{ kind: 'created' }]])
    expect(connections).toHaveLength(1)
  })

  test('a lease that was never committed is no lease', () => {
    failNextCommit(13, 'database or disk is full')
    expect(run(commit([], [claim]))[0]).toMatch(/^PRUNELLA_STORE_FAILED/)
    expect(run(commit([done(1)]))).toMatchObject([{ outcomes: ['stale'] }])
    expect(run(commit([], [claim]))).toMatchObject([{ leases: [[{ taskId: 'before', fence: 1 }]] }])
  })

  test('a failed sync: the batch is refused, the connection is replaced and checked before the next', () => {
    failNextCommit(1034, 'disk I/O error')
    expect(run(submit(task('lost')))[0]).toMatch(/^PRUNELLA_STORE_FAILED: .*disk I\/O error/)
    expect(run([1, 'depths'])).toMatchObject([{ p: { queued: 1 } }])
    expect(run(submit(task('after')))).toMatchObject([[{ kind: 'created' }]])
    expect(connections).toHaveLength(2)
    expect([stored('before'), stored('lost'), stored('after')]).toEqual([true, false, true])
  })
})

test('the steps of a pruned task go with it', () => {
  connections = open()
  run(submit(task('before')), commit([], [claim]), commit([done(1)]))
  const steps = () => connections[0]?.db.prepare('SELECT count(*) AS count FROM step').get()?.count
  expect(steps()).toBe(1)
  expect(run([1, 'prune', { finishedTasks: 0, closedIncidents: 0 }])).toEqual([1])
  expect(steps()).toBe(0)
})

describe('files', () => {
  beforeEach(() => {
    connections = open()
    run(submit(task('before')))
  })

  test('are ours alone, in a folder that others may only pass', () => {
    const mode = (name: string) => (statSync(name).mode & 0o777).toString(8)
    expect(mode(dirname(path))).toBe('711')
    const names = readdirSync(dirname(path)).sort()
    expect(names).toEqual(['state.db', 'state.db-shm', 'state.db-wal', 'state.db.lock', 'state.db.mark'])
    expect(names.map((name) => mode(join(dirname(path), name)))).toEqual(names.map(() => '600'))
  })

  test.each([
    { name: 'the database was deleted', hurt: () => rmSync(path) },
    { name: 'its log was deleted', hurt: () => rmSync(`${path}-wal`) },
    {
      name: 'another file stands in its place',
      hurt: () => {
        cpSync(path, `${path}.copy`)
        renameSync(`${path}.copy`, path)
      },
    },
  ])('$name: the next write a second later is refused, and every one after it', ({ hurt }) => {
    const now = vi.spyOn(performance, 'now')
    const startMs = performance.now()
    hurt()
    now.mockReturnValue(startMs + 1_001)
    expect(run(submit(task('a')))[0]).toMatch(/^PRUNELLA_STORE_FAILED: .*deleted or replaced/)
    expect(run(submit(task('a')))[0]).toMatch(/^PRUNELLA_STORE_FAILED: .*deleted or replaced/)
  })

  test('moved away and put back: it goes on', () => {
    const now = vi.spyOn(performance, 'now')
    const startMs = performance.now()
    renameSync(path, `${path}.away`)
    now.mockReturnValue(startMs + 1_001)
    expect(run(submit(task('a')))[0]).toMatch(/^PRUNELLA_STORE_FAILED/)
    renameSync(`${path}.away`, path)
    expect(run(submit(task('a')))).toMatchObject([[{ kind: 'created' }]])
  })
})
