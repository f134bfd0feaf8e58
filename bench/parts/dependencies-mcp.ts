import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { NodeDoor } from '../../src/port/node.ts'
import { type Carrier, carriers, type ToolFault, ToolWorld, toolFaults } from '../../test/tool-world.ts'
import { benchNode, type Row, ready, row, type Settings, waitFor } from '../support.ts'

/*
 * The agent of examples/tools on a real MCP server, everything at default but the
 * time a call may take. For everybody: the server is broken for ten seconds, over
 * HTTP one for all, over stdio every replica's and every one that is started
 * meanwhile. For one replica alone: only the server that this one has started.
 */
const replicas = 2
const tasks = 30
const callMs = 1_000
const frail = fileURLToPath(new URL('../../test/fixtures/agents/frail.ts', import.meta.url))

interface Course {
  readonly noticedS: number
  readonly recoveredS: number
  readonly lost: number
  readonly twice: number
  readonly restarts: number
  readonly counted: number
}

export async function mcp({ runs, short }: Settings): Promise<readonly Row[]> {
  const rows: Row[] = []
  const ways = carriers.flatMap((carrier) => toolFaults.map((fault) => ({ carrier, fault, alone: false })))
  const alone = toolFaults.map((fault) => ({ carrier: 'stdio' as const, fault, alone: true }))
  for (const { carrier, fault, alone: isAlone } of [...ways, ...alone]) {
    const courses: Course[] = []
    for (let at = 0; at < runs; at++) courses.push(await play(carrier, fault, isAlone, short ? 2_000 : 10_000))
    rows.push(...rowsOf(`mcp over ${carrier}, ${isAlone ? 'one replica alone ' : ''}${fault}`, courses, isAlone))
  }
  return rows
}

async function play(carrier: Carrier, fault: ToolFault, isAlone: boolean, forMs: number): Promise<Course> {
  const world = await ToolWorld.begin(carrier)
  const pool = { ...world.pool(replicas, callMs), ...(isAlone ? { agent: frail } : {}) }
  const bench = await benchNode({ pool }, null, { dependencies: world.dependencies({}) })
  try {
    const { door } = bench.node
    await ready(bench.node, replicas)
    const ids = await submit(door)
    await waitFor(async () => (await unfinished(door, ids)) === 0, 'the first tasks')
    const before = door.replicas()
    const feed = new AbortController()
    const feeding = feedUntil(feed.signal, door, ids)
    const fromMs = performance.now()
    if (isAlone) await world.breakOne(fault, before[0]?.pid ?? 0)
    else await world.break(fault)
    await waitFor(async () => (await door.incidents({ limit: 1 })).rows.length > 0, 'the incident')
    const noticedS = (performance.now() - fromMs) / 1_000
    if (!isAlone) await sleep(forMs)
    const backMs = isAlone ? fromMs : performance.now()
    if (!isAlone) await world.mend(fault)
    const isBack = (): boolean =>
      isAlone
        ? door.replicas()[0]?.ready === true && door.replicas()[0]?.incarnation !== before[0]?.incarnation
        : door.dependencies().every(({ up }) => up === true)
    await waitFor(isBack, 'its return')
    const recoveredS = (performance.now() - backMs) / 1_000
    feed.abort()
    await feeding
    await waitFor(async () => (await unfinished(door, ids)) === 0, 'the last tasks')
    const all = await Promise.all(ids.map((id) => door.task(id)))
    const sum = (of: (task: NonNullable<(typeof all)[number]>) => number) =>
      all.reduce((total, task) => total + (task === null ? 0 : of(task)), 0)
    return {
      noticedS,
      recoveredS,
      lost: all.filter((task) => task?.status !== 'done').length,
      twice: sum(({ attempts }) => Math.max(0, attempts.filter(({ outcome }) => outcome === 'done').length - 1)),
      restarts: door.replicas().reduce((total, { incarnation }, at) => {
        return total + incarnation - (before[at]?.incarnation ?? incarnation)
      }, 0),
      counted: sum(({ countedAttempts }) => countedAttempts - 1),
    }
  } finally {
    await bench.end()
    await world.end()
  }
}

async function submit(door: NodeDoor): Promise<string[]> {
  const input = { word: 'heal' }
  const outcomes = await door.submit('pool', Array(tasks).fill({ input, needs: ['search', 'read'] }))
  return outcomes.flatMap((outcome) => ('id' in outcome ? [outcome.id] : []))
}

/** Always some work, in a queue that does not grow without end. */
async function feedUntil(signal: AbortSignal, door: NodeDoor, ids: string[]): Promise<void> {
  while (!signal.aborted) {
    if ((door.pools()[0]?.depth.queued ?? 0) < tasks) ids.push(...(await submit(door)))
    await sleep(100)
  }
}

async function unfinished(door: NodeDoor, ids: readonly string[]): Promise<number> {
  const all = await Promise.all(ids.map((id) => door.task(id)))
  return all.filter((task) => task?.finishedMs === null).length
}

function rowsOf(what: string, courses: readonly Course[], isAlone: boolean): readonly Row[] {
  const of = (read: (course: Course) => number): readonly number[] => courses.map(read)
  const exactly = (values: readonly number[], wanted: number) => ({
    text: String(wanted),
    met: values.every((value) => value === wanted),
  })
  const rowOf = (name: string, values: readonly number[], wanted: number) =>
    row(`${what}: ${name}`, values, '', exactly(values, wanted))
  return [
    row(
      `${what}: noticed after`,
      of(({ noticedS }) => noticedS),
      's',
    ),
    row(
      `${what}: recovered after`,
      of(({ recoveredS }) => recoveredS),
      's',
    ),
    rowOf(
      'lost',
      of(({ lost }) => lost),
      0,
    ),
    rowOf(
      'done twice',
      of(({ twice }) => twice),
      0,
    ),
    rowOf(
      'restarts',
      of(({ restarts }) => restarts),
      isAlone ? 1 : 0,
    ),
    rowOf(
      'attempts counted',
      of(({ counted }) => counted),
      0,
    ),
  ]
}
