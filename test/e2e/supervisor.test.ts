import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { agentFixture, type TestNode, testNode } from '../node.ts'
import { until } from '../until.ts'

interface Seen {
  readonly replicas: readonly {
    readonly name: string
    readonly pid: number
    readonly incarnation: number
    readonly ready: boolean
    readonly tasks: number
  }[]
}

const script = fileURLToPath(new URL('../fixtures/supervisor.ts', import.meta.url))
const trouble = agentFixture('trouble.ts')
let child: ChildProcess | null = null
let folder = ''
let node: TestNode | null = null

/** A supervisor in a process of its own, with a long task under way. */
async function start(): Promise<() => Seen> {
  folder = await mkdtemp(join(tmpdir(), 'prunella-test-'))
  const started = spawn(process.execPath, ['--conditions=prunella-source', script, folder, trouble], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child = started
  let text = ''
  started.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  const last = (): Seen => JSON.parse(text.trimEnd().split('\n').at(-1) ?? '') as Seen
  await until(
    () =>
      last().replicas.filter((replica) => replica.ready).length === 2 &&
      last().replicas.some((replica) => replica.tasks > 0),
    {
      timeoutMs: 20_000,
      what: 'two ready replicas and a running task',
    },
  )
  return last
}

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`)

afterEach(async () => {
  child?.kill('SIGKILL')
  child = null
  await node?.stop()
  node = null
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
})

describe('the supervisor itself', () => {
  test('stopped for four seconds it kills nobody on waking', async () => {
    const last = await start()
    const before = last().replicas
    child?.kill('SIGSTOP')
    const wakeMs = performance.now() + 4_000
    await until(() => performance.now() >= wakeMs, { timeoutMs: 6_000, what: 'four seconds to pass', everyMs: 100 })
    child?.kill('SIGCONT')
    const judgedMs = performance.now() + 3_000
    await until(() => performance.now() >= judgedMs, {
      timeoutMs: 6_000,
      what: 'the time in which it would have judged',
      everyMs: 100,
    })
    expect(last().replicas.map(({ pid, incarnation }) => ({ pid, incarnation }))).toEqual(
      before.map(({ pid, incarnation }) => ({ pid, incarnation })),
    )
    expect(before.every(({ pid }) => isAlive(pid))).toBe(true)
  })

  test('killed, its agents end, and the next one finishes their task under a new fence', async () => {
    const last = await start()
    const orphans = last().replicas.map((replica) => replica.pid)
    child?.kill('SIGKILL')
    await until(() => !orphans.some(isAlive), { timeoutMs: 3_000, what: 'the end of the orphans' })
    node = await testNode({ pools: { p: { agent: trouble, replicas: { min: 2, max: 2 } } } }, folder)
    const { door } = node
    const [task] = (await door.tasks({ limit: 1 })).rows
    expect(task?.fence).toBeGreaterThan(1)
    const done = await node.settled(task?.id ?? '')
    expect(done).toMatchObject({ status: 'done', countedAttempts: 1, output: { attempt: 2 } })
    expect(done.attempts[0]).toMatchObject({ outcome: 'returned', counted: false })
    expect(door.replicas().map((replica) => replica.incarnation)).toEqual([2, 2])
  })
})
