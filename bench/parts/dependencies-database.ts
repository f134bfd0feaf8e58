import { setTimeout as sleep } from 'node:timers/promises'
import type { PrunellaConfig } from '../../src/config/index.ts'
import type { NodeDoor } from '../../src/port/node.ts'
import { booked, orderOf, ordersAgent, prepareOrders } from '../../test/orders.ts'
import { Postgres } from '../../test/postgres.ts'
import { DatabaseProxy } from '../../test/proxy.ts'
import { benchNode, type Row, ready, row, type Settings, waitFor } from '../support.ts'

/*
 * The agent of examples/database at default settings on a real Postgres: four
 * replicas, a task of some 60 ms, and always work for all of them. What the
 * server does is done for real: connections terminated, `stop -m immediate`,
 * SIGSTOP of every process of it, every place taken by others. Nothing is told
 * to Prunella. A task that was accepted and is not done in the end is lost.
 */
const replicas = 4
const queued = 20
/** First tasks of fresh processes, and what comes after the hurt, ms. */
const settleMs = 3_000
const afterMs = 10_000
const victim = 1

interface Scene {
  readonly database: Postgres
  readonly proxy: DatabaseProxy
  readonly door: NodeDoor
}

interface Way {
  readonly name: string
  readonly hurt: (scene: Scene) => unknown
  /** Null: what is hurt does not come back. */
  readonly mend: ((scene: Scene) => unknown) | null
  readonly forMs: number
  /** Seconds; null: nobody need notice it. */
  readonly noticedS: number | null
  readonly restarts: number
}

const ways: readonly Way[] = [
  {
    ...{ name: 'connections killed', forMs: 0, noticedS: null, restarts: 0 },
    hurt: ({ database }) => database.killConnections(),
    mend: () => undefined,
  },
  {
    ...{ name: 'stopped for 30 s', forMs: 30_000, noticedS: 5, restarts: 0 },
    hurt: ({ database }) => database.stop(),
    mend: ({ database }) => database.resume(),
  },
  {
    ...{ name: 'frozen for 20 s', forMs: 20_000, noticedS: 6, restarts: 0 },
    hurt: ({ database }) => database.freeze(),
    mend: ({ database }) => database.thaw(),
  },
  {
    ...{ name: 'no connection to spare for 20 s', forMs: 20_000, noticedS: 6, restarts: 0 },
    hurt: ({ database }) => database.exhaust(),
    mend: ({ database }) => database.leave(),
  },
  {
    ...{ name: 'one replica alone', forMs: 0, noticedS: 6, restarts: 1 },
    hurt: ({ proxy }) => proxy.cut(`clerks/${victim}#1`),
    mend: null,
  },
]

interface Course {
  readonly tasks: number
  readonly noticedS: number | null
  readonly recoveredS: number
  readonly lost: number
  readonly twice: number
  readonly restarts: number
  readonly counted: number
}

export async function database({ runs, short }: Settings): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const way of ways) {
    const courses: Course[] = []
    for (let at = 0; at < runs; at++) courses.push(await play(way, short))
    rows.push(...rowsOf(way, courses))
  }
  return rows
}

async function play(way: Way, isShort: boolean): Promise<Course> {
  const server = await Postgres.start()
  const proxy = new DatabaseProxy(server.port)
  try {
    await prepareOrders(server)
    const url = server.url.replace(`:${server.port}`, `:${await proxy.listen()}`)
    const dependencies: PrunellaConfig['dependencies'] = {
      orders: { check: { postgres: server.url }, critical: true },
    }
    const clerks = {
      ...{ agent: ordersAgent, replicas: { min: replicas, max: replicas }, dependsOn: ['orders'] },
      environment: { set: { DATABASE_URL: url } },
    }
    const bench = await benchNode({ clerks }, null, { dependencies })
    try {
      await ready(bench.node, replicas)
      return await hurt(way, isShort, { database: server, proxy, door: bench.node.door })
    } finally {
      await bench.end()
    }
  } finally {
    await proxy.close()
    await server.remove()
  }
}

async function hurt(way: Way, isShort: boolean, scene: Scene): Promise<Course> {
  const { door } = scene
  const doneMs: number[] = []
  const { stop } = door.subscribe(null, ({ notice }) => {
    if (notice.kind === 'attempt_ended' && notice.outcome === 'done') doneMs.push(performance.now())
  })
  const feeder = new Feeder(door)
  const feeding = feeder.run()
  await sleep(settleMs)
  const before = door.replicas().map(({ name, pid }) => ({ name, pid }))
  console.error(`${way.name}: ${doneMs.length} tasks done before`)
  const fromMs = performance.now()
  const noticing = noticed(way, door, fromMs)
  await way.hurt(scene)
  const noticedS = await noticing
  await sleep(Math.max(0, (isShort ? way.forMs / 5 : way.forMs) - (performance.now() - fromMs)))
  await way.mend?.(scene)
  const backMs = performance.now()
  const isBack = way.mend === null ? () => isReplaced(door) : () => doneMs.some((at) => at > backMs)
  await waitFor(isBack, 'work to go on', 90_000)
  const recoveredS = (performance.now() - backMs) / 1_000
  await sleep(isShort ? afterMs / 5 : afterMs)
  feeder.end()
  await feeding
  stop()
  const after = door.replicas()
  const restarts = before.filter(({ name, pid }) => after.find((one) => one.name === name)?.pid !== pid).length
  return { noticedS, recoveredS, restarts, ...(await account(scene, feeder.ids)) }
}

/** Seconds until the node knows: the breaker opens, or the one replica is accused. */
async function noticed({ noticedS, mend }: Way, door: NodeDoor, fromMs: number): Promise<number | null> {
  if (noticedS === null) return null
  const isKnown =
    mend === null
      ? async () => (await door.incidents({ limit: 1 })).rows[0]?.fault.culprit === 'agent'
      : () => door.dependencies()[0]?.up === false
  await waitFor(isKnown, 'it to be noticed', 90_000)
  return (performance.now() - fromMs) / 1_000
}

function isReplaced(door: NodeDoor): boolean {
  const row = door.replicas().find(({ name }) => name === `clerks/${victim}`)
  return row?.incarnation === 2 && row.ready
}

/** What became of every task, by the node's word and by the database's. */
async function account(
  { door, database: server }: Scene,
  ids: readonly string[],
): Promise<Pick<Course, 'tasks' | 'lost' | 'twice' | 'counted'>> {
  let [lost, counted] = [0, 0]
  for (const id of ids) {
    const task = await door.waitForTask(id, 60_000, new AbortController().signal)
    const attempts = task?.attempts ?? []
    if (task?.status !== 'done') lost += 1
    counted += (task?.countedAttempts ?? 0) - attempts.filter((one) => one.outcome === 'done' && one.counted).length
  }
  const { orders, taken } = await booked(server)
  return { tasks: ids.length, lost: Math.max(lost, ids.length - orders), twice: taken - orders, counted }
}

function rowsOf({ name, noticedS, restarts, mend }: Way, courses: readonly Course[]): readonly Row[] {
  const what = (text: string): string => `database, ${name}: ${text}`
  const of = (key: 'recoveredS' | 'lost' | 'twice' | 'restarts' | 'counted' | 'tasks') => courses.map((one) => one[key])
  const exactly = (text: string, key: Parameters<typeof of>[0], is: number): Row =>
    row(what(text), of(key), '', { text: String(is), met: of(key).every((value) => value === is) })
  const atMost = (text: string, values: readonly number[], max: number): Row =>
    row(what(text), values, 's', { text: `≤ ${max} s`, met: values.every((value) => value <= max) })
  const seen = courses.flatMap((one) => one.noticedS ?? [])
  return [
    row(what('tasks'), of('tasks'), ''),
    ...(noticedS === null ? [] : [atMost('noticed', seen, noticedS)]),
    atMost(mend === null ? 'replaced' : 'first task done after its return', of('recoveredS'), 5),
    exactly('tasks lost', 'lost', 0),
    exactly('effects twice', 'twice', 0),
    exactly('replicas restarted', 'restarts', restarts),
    exactly('attempts counted', 'counted', 0),
  ]
}

/** Keeps work waiting for every place, until it is told to end. */
class Feeder {
  readonly ids: string[] = []
  readonly #door: NodeDoor
  #isOver = false

  constructor(door: NodeDoor) {
    this.#door = door
  }

  async run(): Promise<void> {
    while (!this.#isOver) {
      const missing = queued - (this.#door.pools()[0]?.depth.queued ?? 0)
      const inputs = Array.from({ length: Math.max(0, missing) }, (_, n) => ({ input: orderOf(this.ids.length + n) }))
      const outcomes = inputs.length === 0 ? [] : await this.#door.submit('clerks', inputs)
      this.ids.push(...outcomes.flatMap((outcome) => (outcome.kind === 'created' ? [outcome.id] : [])))
      await sleep(100)
    }
  }

  end(): void {
    this.#isOver = true
  }
}
