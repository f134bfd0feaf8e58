import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { Incident } from '../../src/model/incident.ts'
import { agentFixture, removeTestFolders, type TestNode, testNode } from '../node.ts'
import { type Receiver, startReceiver } from '../receiver.ts'
import { until } from '../until.ts'

const script = fileURLToPath(new URL('../fixtures/supervisor.ts', import.meta.url))
let running: TestNode | null = null
let receiver: Receiver | null = null

async function start(limits: object, more: object = {}, folder?: string, shutdown = '3s'): Promise<TestNode> {
  const notify =
    receiver === null ? [] : [{ kind: 'webhook', url: receiver.url, secret: 'x'.repeat(32), allowPrivate: true }]
  const pool = { agent: agentFixture('runaway.ts'), replicas: { min: 2, max: 2 }, limits, ...more }
  running = await testNode({ pools: { p: pool }, notify, shutdown } as Parameters<typeof testNode>[0], folder)
  await running.ready(2)
  return running
}

const fileOf = ({ folder }: TestNode): string => join(folder, 'calls')
/** Model calls made, whatever was told of them. */
function linesOf(file: string): readonly string[] {
  return readFileSync(file, { encoding: 'utf8', flag: 'a+' })
    .split('\n')
    .filter((line) => line !== '')
}

function callsOf(node: TestNode, id?: string): number {
  return linesOf(fileOf(node)).filter((line) => id === undefined || line === id).length
}

async function incidents({ door }: TestNode, kind = 'budget_exceeded'): Promise<readonly Incident[]> {
  return (await door.incidents({ limit: 50 })).rows.filter(({ fault }) => fault.kind === kind)
}

afterEach(async () => {
  await running?.stop()
  running = null
  await receiver?.close()
  receiver = null
})
afterAll(removeTestFolders)

describe('the budget of a task', () => {
  test.each([
    { agent: 'that heeds', deaf: false },
    { agent: 'that takes no notice', deaf: true },
  ])('a runaway $agent stops with at most one call over, and others go on', async ({ deaf }) => {
    const node = await start({ tokensPerTask: 5_000 })
    const id = await node.submit('p', { file: fileOf(node), deaf })
    const others = await Promise.all([1, 2, 3].map((calls) => node.submit('p', { file: fileOf(node), calls })))
    const task = await node.settled(id)
    expect(task).toMatchObject({ status: 'held', steps: [{ name: 'prepare', state: 'done' }] })
    expect(task.reason).toMatch(/^budget: \d+ tokens of 5000 tokens spent by this task/)
    expect(task.attempts).toMatchObject([{ outcome: 'budget_exceeded', counted: false }])
    expect(callsOf(node, id)).toBeGreaterThanOrEqual(5)
    expect(callsOf(node, id)).toBeLessThanOrEqual(6)
    for (const other of others) expect(await node.settled(other)).toMatchObject({ status: 'done' })
    const found = (await incidents(node)).find(({ replica }) => replica === null)
    expect(found).toMatchObject({ fault: { culprit: 'task' }, taskId: id, actions: [{ kind: 'hold', status: 'done' }] })
    expect(node.door.replicas().map(({ strikes, incarnation }) => [strikes, incarnation])).toEqual([
      [0, 1],
      [0, 1],
    ])
    expect((await node.door.why(id))?.text).toContain('budget: ')
  })

  test('is told to the agent when it is nearly used up', async () => {
    const node = await start({ callsPerTask: 11 })
    const task = await node.settled(await node.submit('p', { file: fileOf(node), calls: 11 }))
    expect(task).toMatchObject({ status: 'done', spent: { calls: 11, tokens: 11_000 } })
    expect((task.output as { readonly nudges: readonly string[] }).nudges).toMatchObject([
      expect.stringContaining('10 calls of 11 calls spent by this task'),
    ])
  })

  test('is not begun anew by another supervisor, only by a person', async () => {
    const first = await start({ tokensPerTask: 5_000 }, {}, undefined, '50ms')
    const id = await first.submit('p', { file: fileOf(first), waitsAfter: 2 })
    const spentTwo = async () => ((await first.door.task(id))?.spent.calls ?? 0) >= 2
    await until(spentTwo, { timeoutMs: 20_000, what: 'two calls that are written' })
    await first.stop()
    const node = await start({ tokensPerTask: 5_000 }, {}, first.folder)
    const held = await node.settled(id)
    expect(held.attempts.map(({ outcome }) => outcome)).toEqual(['returned', 'budget_exceeded'])
    expect(held.status).toBe('held')
    expect(callsOf(node, id)).toBeLessThanOrEqual(6)
    const before = callsOf(node, id)
    expect(await node.door.resolve(id, { kind: 'repeat' }, 'ada', 'worth it')).toBe('queued')
    const again = await until(
      async () => {
        const task = await node.door.task(id)
        return task?.status === 'held' && task.attempts.length >= 3 ? task : null
      },
      { timeoutMs: 20_000, what: 'the task to be held again' },
    )
    expect(callsOf(node, id) - before).toBeGreaterThanOrEqual(5)
    expect(callsOf(node, id) - before).toBeLessThanOrEqual(6)
    expect(again?.steps).toMatchObject([{ name: 'prepare', state: 'done' }])
  })

  test('is remembered when the supervisor is killed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'prunella-test-'))
    const file = join(folder, 'calls')
    const limits = { tokensPerTask: 5_000 }
    const args = [script, folder, agentFixture('runaway.ts'), '[]', JSON.stringify({ limits })]
    const child = spawn(
      process.execPath,
      ['--conditions=prunella-source', ...args, JSON.stringify({ file, waitsAfter: 3 })],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    )
    try {
      await until(() => linesOf(file).length >= 3, { timeoutMs: 20_000, what: 'three calls' })
      child.kill('SIGKILL')
      const node = await start(limits, {}, folder)
      const [task] = (await node.door.tasks({ limit: 1 })).rows
      const held = await node.settled(task?.id ?? '')
      expect(held).toMatchObject({ status: 'held', reason: expect.stringMatching(/^budget: /) })
      // One over, and one more that the killed supervisor may have heard of and not written.
      expect(linesOf(file).length).toBeLessThanOrEqual(7)
    } finally {
      child.kill('SIGKILL')
      await running?.stop()
      running = null
      await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    }
  })

  test('of time stops an attempt that says nothing', async () => {
    const node = await start({ timePerTask: '600ms' }, { recovery: { reset: '5s' } })
    const task = await node.settled(await node.submit('p', { file: fileOf(node) }))
    expect(task.reason).toMatch(/^budget: 1 s of 1 s/)
    expect(task.status).toBe('held')
  })

  test.each([
    { name: 'a pool that only observes', more: { recovery: { mode: 'observe' } }, said: ['hold'] },
    { name: 'a detector that is off', more: { detect: { budget: { enabled: false } } }, said: [] },
  ])('$name stops nobody', async ({ more, said }) => {
    const node = await start({ tokensPerTask: 5_000, tokensPerDay: 100_000 }, more)
    const task = await node.settled(await node.submit('p', { file: fileOf(node), calls: 12 }))
    expect(task).toMatchObject({ status: 'done', output: { nudges: [] }, spent: { calls: 12 } })
    const actions = (await incidents(node)).flatMap((incident) => incident.actions)
    expect(actions.map(({ kind }) => kind).toSorted()).toEqual(said)
    expect(actions.every(({ status }) => status === 'observed')).toBe(true)
  })
})

describe('the budget of a pool', () => {
  test('holds it until the day ends or a person lets it go on, with one notification, and over a restart', async () => {
    receiver = await startReceiver()
    const first = await start({ tokensPerDay: 4_000 })
    const ids = await Promise.all(
      [1, 2, 3].map(() => first.submit('p', { file: fileOf(first), calls: 3, everyMs: 300 })),
    )
    await until(() => first.door.pools()[0]?.hold?.cause === 'budget', { timeoutMs: 20_000, what: 'the hold' })
    await until(() => first.door.replicas().every(({ tasks }) => tasks.length === 0), {
      timeoutMs: 20_000,
      what: 'everybody to let go',
    })
    // Two replicas: one call over for each, since a call takes longer than to be stopped.
    expect(callsOf(first)).toBeLessThanOrEqual(6)
    expect(first.door.pools()[0]?.hold?.reason).toMatch(/^\d+ tokens of 4000 tokens .* until .*T00:00:00.000Z$/)
    await receiver.waitFor(1)
    await first.stop()

    const node = await start({ tokensPerDay: 4_000 }, {}, first.folder)
    expect(node.door.pools()[0]?.hold?.cause).toBe('budget')
    const before = callsOf(node)
    expect(before).toBeLessThanOrEqual(6)
    const [incident] = await incidents(node)
    expect(incident).toMatchObject({ status: 'needs_review', replica: null, actions: [{ kind: 'hold' }] })
    expect(await node.door.operate({ kind: 'resume', pool: 'p' }, 'ada', 'worth it')).toMatchObject({
      kind: 'accepted',
    })
    await until(() => callsOf(node) > before, { timeoutMs: 20_000, what: 'work to go on' })
    await until(async () => (await incidents(node)).some(({ status }) => status === 'closed'), {
      timeoutMs: 20_000,
      what: 'its incident to be closed',
    })
    const told = (await receiver.waitFor(2)).slice(0, 2).map(({ message }) => message.change)
    expect(told).toEqual(['opened', 'resolved'])
    for (const id of ids) expect((await node.door.task(id))?.countedAttempts).toBeLessThanOrEqual(1)
  })

  test('a process that has used up its own is replaced, and its task is not lost', async () => {
    const node = await start({ tokensPerReplica: 4_000 })
    const id = await node.submit('p', { file: fileOf(node), calls: 3 })
    const more = await Promise.all([1, 2, 3].map(() => node.submit('p', { file: fileOf(node), calls: 3 })))
    for (const each of [id, ...more]) expect(await node.settled(each)).toMatchObject({ status: 'done' })
    const found = await incidents(node)
    expect(found.some(({ replica, actions }) => replica !== null && actions[0]?.kind === 'hard_restart')).toBe(true)
  })
})
