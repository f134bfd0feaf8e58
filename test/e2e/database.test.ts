import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { PrunellaConfig } from '../../src/config/index.ts'
import { removeTestFolders, type TestNode, testNode } from '../node.ts'
import { booked, orderOf, ordersAgent, prepareOrders } from '../orders.ts'
import { Postgres } from '../postgres.ts'
import { DatabaseProxy } from '../proxy.ts'
import { type Receiver, startReceiver } from '../receiver.ts'
import { until } from '../until.ts'

let database: Postgres
let proxy: DatabaseProxy
let receiver: Receiver
let node: TestNode
/** Of the tasks of one test, and of those before it: the table is theirs together. */
let ids: string[] = []
let earlier = 0
let before: readonly { readonly name: string; readonly pid: number | null }[]

beforeAll(async () => {
  database = await Postgres.start()
  await prepareOrders(database)
})
afterAll(async () => {
  await database.remove()
  await removeTestFolders()
})

/** Three replicas that book orders, each of whose connections goes through the proxy, and somebody who is told. */
beforeEach(async () => {
  proxy = new DatabaseProxy(database.port)
  receiver = await startReceiver()
  const url = database.url.replace(`:${database.port}`, `:${await proxy.listen()}`)
  const check = { postgres: database.url }
  const breaker = { probe: '300ms', stable: '1s', ramp: '1s' } as const
  const config: PrunellaConfig = {
    pools: {
      p: {
        agent: ordersAgent,
        replicas: { min: 3, max: 3 },
        dependsOn: ['orders'],
        environment: { set: { DATABASE_URL: url, DATABASE_TIMEOUT_MS: '700' } },
        health: { readiness: { periodSeconds: 1, timeoutSeconds: 0.5 } },
        retry: { backoff: { base: '50ms', max: '200ms' } },
        recovery: { backoff: { base: '50ms', max: '200ms' }, probation: '1s' },
      },
    },
    dependencies: { orders: { check, critical: true, timeout: '500ms', breaker } },
    notify: [{ kind: 'webhook', url: receiver.url, secret: 'a-secret-of-the-hook', allowPrivate: true }],
  }
  node = await testNode(config, undefined, 1_000)
  await node.ready(3)
  before = node.door.replicas().map(({ name, pid }) => ({ name, pid }))
  earlier = (await booked(database)).orders
  ids = []
})
afterEach(async () => {
  await node.stop()
  await proxy.close()
  await receiver.close()
})

async function submit(count: number): Promise<void> {
  for (let n = 0; n < count; n++) ids.push(await node.submit('p', orderOf(n)))
}

const booking = (more: number) =>
  until(async () => (await booked(database)).orders >= earlier + more, { timeoutMs: 20_000, what: `${more} orders` })

const isDown = () => node.door.dependencies()[0]?.up === false

/** Every task is done and its order booked once, and none of its attempts was charged but the one that did it. */
async function allDone(): Promise<void> {
  const wrong: unknown[] = []
  for (const id of ids) {
    const { status, countedAttempts, attempts } = await node.settled(id)
    const more = countedAttempts - attempts.filter(({ outcome, counted }) => outcome === 'done' && counted).length
    if (status !== 'done' || more > 0)
      wrong.push({
        status,
        more,
        attempts: attempts.map((each) => [each.replica, each.outcome, each.counted, each.error?.message]),
      })
  }
  expect(wrong).toEqual([])
  const orders = earlier + ids.length
  expect(await booked(database)).toEqual({ orders, taken: orders })
}

function nobodyTouched(): void {
  expect(node.door.replicas().map(({ name, pid }) => ({ name, pid }))).toEqual(before)
  expect(node.door.replicas().map(({ strikes }) => strikes)).toEqual([0, 0, 0])
}

const told = () => receiver.received.map(({ message: { change, severity } }) => [change, severity])

test('every connection is killed: a moment later all goes on, and nobody hears of it', async () => {
  await submit(60)
  await booking(10)
  expect(await database.killConnections()).toBeGreaterThan(2)
  await allDone()
  nobodyTouched()
  expect((await node.door.incidents({ limit: 5 })).rows).toEqual([])
  expect(told()).toEqual([])
})

test.each([
  { name: 'is stopped', hurt: () => database.stop(), mend: () => database.resume() },
  {
    name: 'is frozen',
    hurt: async () => database.freeze(),
    mend: async () => database.thaw(),
  },
  { name: 'has no connection to spare', hurt: () => database.exhaust(), mend: () => database.leave() },
])(
  'the server $name: the pool waits for it, nobody is touched or charged, and people hear of it twice',
  async (way) => {
    await submit(60)
    await booking(10)
    try {
      await way.hurt()
      await until(isDown, { timeoutMs: 15_000, what: 'the outage to be noticed' })
      await until(() => node.door.pools()[0]?.active === 0, { timeoutMs: 15_000, what: 'tasks under way to fail' })
      expect(node.door.pools()[0]).toMatchObject({ hold: { cause: 'dependency' } })
    } finally {
      await way.mend()
    }
    await allDone()
    nobodyTouched()
    await receiver.waitFor(2)
    expect(told()).toEqual([
      ['opened', 'critical'],
      ['resolved', 'critical'],
    ])
    const { rows } = await node.door.incidents({ limit: 5 })
    expect(rows.map(({ fault, replica }) => [fault.kind, fault.culprit, replica])).toEqual([
      ['database_unavailable', 'dependency', null],
    ])
  },
)

test('one replica alone loses its connections: it is replaced, its tasks finish elsewhere, and nothing else is touched', async () => {
  await submit(90)
  await booking(10)
  proxy.cut('p/1#1')
  const isReplaced = () =>
    node.door.replicas().every(({ ready, name, incarnation }) => ready && incarnation === (name === 'p/1' ? 2 : 1))
  await until(isReplaced, { timeoutMs: 20_000, what: 'another process for p/1, and no other' })
  await allDone()
  expect(node.door.replicas().map(({ incarnation }) => incarnation)).toEqual([1, 2, 1])
  const { rows } = await node.door.incidents({ limit: 5 })
  expect(rows.map(({ fault, replica, actions }) => [fault.kind, fault.culprit, replica, actions[0]?.kind])).toEqual([
    ['database_unavailable', 'agent', 'p/1', 'hard_restart'],
  ])
  await receiver.waitFor(2)
  expect(told()).toEqual([
    ['opened', 'warning'],
    ['resolved', 'warning'],
  ])
})
