import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Incident } from '../../src/model/incident.ts'
import { agentFixture, removeTestFolders, type TestNode, testNode } from '../node.ts'
import { isGenuine, type Received, type Receiver, startReceiver } from '../receiver.ts'
import { until } from '../until.ts'

const trouble = agentFixture('trouble.ts')
const secret = 'a-secret-of-the-hook'
let receiver: Receiver
let running: TestNode | null = null
let child: ChildProcess | null = null

beforeEach(async () => {
  receiver = await startReceiver()
})
afterEach(async () => {
  child?.kill('SIGKILL')
  child = null
  await running?.stop()
  running = null
  await receiver.close()
})
afterAll(removeTestFolders)

function notify(more: object = {}) {
  return [{ kind: 'webhook', url: receiver.url, secret, allowPrivate: true, ...more }] as const
}

async function start(more: object = {}, folder?: string): Promise<TestNode> {
  const recovery = { probation: '300ms', backoff: { base: '10ms' } }
  const pools = { p: { agent: trouble, owner: 'team-care', replicas: { min: 2, max: 2 }, recovery } }
  running = await testNode({ pools, notify: [...notify(more)] }, folder)
  await running.ready(2)
  return running
}

/** Kills a replica; returns its incident once that is in this state. */
async function crash({ door }: TestNode, name: string, status: 'probation' | 'closed'): Promise<Incident> {
  const incidents = async () => (await door.incidents({ limit: 100 })).rows
  const known = new Set((await incidents()).map(({ id }) => id))
  const pid = door.replicas().find((replica) => replica.name === name)?.pid ?? null
  if (pid === null) throw new Error(`${name} has no process`)
  process.kill(pid, 'SIGKILL')
  const ended = (one: Incident) => !known.has(one.id) && one.replica === name && one.status === status
  return until(async () => (await incidents()).find(ended), { timeoutMs: 20_000, what: `${name}: ${status}` })
}

const changes = (received: readonly Received[]) =>
  received.map(({ message: { incidentId, change } }) => [incidentId, change])

/** What this life of the node has done with so many messages. */
const counted = ({ door }: TestNode, outcome: 'sent' | 'rejected', count: number) =>
  until(
    async () =>
      (await door.metrics()).includes(`prunella_notifications_total{kind="webhook",outcome="${outcome}"} ${count}`),
    { timeoutMs: 20_000, what: `${count} to be ${outcome}` },
  )

describe('a receiver that is there', () => {
  test('is told that an incident opened, changed and was resolved: signed, in order, each once', async () => {
    const node = await start({ minimum: 'info' })
    const { id } = await crash(node, 'p/0', 'closed')
    const received = await receiver.waitFor(3)
    await counted(node, 'sent', 3)
    expect(changes(received)).toEqual([
      [id, 'opened'],
      [id, 'changed'],
      [id, 'resolved'],
    ])
    expect(received.map(({ message }) => message['sequence'])).toEqual([1, 2, 3])
    expect(received[0]?.message).toMatchObject({
      ...{ severity: 'warning', owner: 'team-care', pool: 'p', commands: [`prunella why ${id}`] },
      evidence: [expect.stringContaining('SIGKILL')],
    })
    for (const { body, headers } of received) {
      expect(isGenuine(secret, body, String(headers['x-prunella-signature']), Date.now())).toBe(true)
      expect(body).not.toContain(secret)
    }
    await until(
      async () => (await node.door.metrics()).includes('prunella_notifications_waiting{notifier="webhook"} 0'),
      {
        timeoutMs: 20_000,
        what: 'an empty outbox: a delivery is struck off after the receiver has it',
      },
    )
    expect(node.door.node().blindSpots.join()).not.toContain('notifier')
  })

  test('that starts listening at warning hears of the crash and its end only', async () => {
    const node = await start()
    const { id } = await crash(node, 'p/0', 'closed')
    await counted(node, 'sent', 2)
    expect(changes(receiver.received)).toEqual([
      [id, 'opened'],
      [id, 'resolved'],
    ])
  })

  test('a private address that was not allowed is never asked, and the log says why', async () => {
    const node = await start({ allowPrivate: false })
    await crash(node, 'p/0', 'closed')
    await counted(node, 'rejected', 2)
    expect(receiver.received).toEqual([])
    expect(node.lines.some((line) => line.includes('127.0.0.1 is a private or reserved address'))).toBe(true)
  })
})

describe('a receiver that is away', () => {
  test('gets all of it in order when it is back, over a restart of the node, and nothing twice', async () => {
    await receiver.close()
    const first = await start()
    const one = await crash(first, 'p/0', 'closed')
    await until(() => first.door.node().blindSpots.some((spot) => spot.includes('ECONNREFUSED')), {
      timeoutMs: 10_000,
      what: 'the failure to be visible',
    })
    await first.stop()
    const second = await start({}, first.folder)
    const two = await crash(second, 'p/0', 'closed')
    receiver = await startReceiver(receiver.port)
    const received = await receiver.waitFor(4, 60_000)
    await counted(second, 'sent', 4)
    expect(changes(received)).toEqual([
      [one.id, 'opened'],
      [one.id, 'resolved'],
      [two.id, 'opened'],
      [two.id, 'resolved'],
    ])
    expect(new Set(received.map(({ headers }) => headers['idempotency-key'])).size).toBe(received.length)
  }, 90_000)

  test('a supervisor that is killed in between loses none, and the next one resolves what it opened', async () => {
    await receiver.close()
    const folder = await mkdtemp(join(tmpdir(), 'prunella-test-'))
    const script = fileURLToPath(new URL('../fixtures/supervisor.ts', import.meta.url))
    const command = ['--conditions=prunella-source', script, folder, trouble, JSON.stringify(notify())]
    const started = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'] })
    child = started
    let text = ''
    started.stdout.on('data', (part: Buffer) => {
      text += part.toString()
    })
    const ready = (incarnation: number) =>
      until(
        () => {
          const { replicas } = JSON.parse(text.trimEnd().split('\n').at(-1) ?? '')
          const victim = replicas.find(({ name }: { name: string }) => name === 'p/0')
          return victim?.ready && victim.incarnation === incarnation ? Number(victim.pid) : null
        },
        { timeoutMs: 20_000, what: `p/0 to be ready in incarnation ${incarnation}` },
      )
    process.kill(await ready(1), 'SIGKILL')
    await ready(2)
    started.kill('SIGKILL')
    receiver = await startReceiver(receiver.port)
    const node = await start({}, folder)
    const received = await receiver.waitFor(2, 30_000)
    await counted(node, 'sent', 2)
    const [incident] = (await node.door.incidents({ limit: 1 })).rows
    expect(changes(received)).toEqual([
      [incident?.id, 'opened'],
      [incident?.id, 'resolved'],
    ])
    await node.stop()
    await rm(folder, { recursive: true, force: true })
  }, 90_000)
})

describe('a receiver that delays nothing', () => {
  const endless = (part: Buffer) => (response: ServerResponse) => {
    const more = (): void => {
      while (!response.destroyed && response.write(part));
    }
    response.on('drain', more)
    response.writeHead(200)
    more()
  }
  test.each<{ readonly name: string; readonly answer: (response: ServerResponse) => void }>([
    { name: 'hangs', answer: () => undefined },
    {
      name: 'drips',
      answer: (response) => {
        const drip = setInterval(() => response.write('.'), 50)
        response.on('close', () => clearInterval(drip))
        response.writeHead(500)
      },
    },
    { name: 'replies for ever', answer: endless(Buffer.alloc(1024 * 1024)) },
  ])('because it $name: a killed replica is back as fast as without it', async ({ answer }) => {
    receiver.answer = answer
    const node = await start({ minimum: 'info' })
    await crash(node, 'p/0', 'probation')
    await receiver.waitFor(1)
    // It is at it now: the next crash must not wait for it.
    const { recoveredMs, detectedMs } = await crash(node, 'p/1', 'probation')
    expect((recoveredMs ?? Number.POSITIVE_INFINITY) - detectedMs).toBeLessThan(3_000)
    expect(node.door.node().lagMs).toBeLessThan(500)
  })
})
