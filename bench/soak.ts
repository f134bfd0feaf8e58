/** One hour of healthy work, 20 replicas beside 16 spinning processes: nobody is touched, nobody is told anything. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { PrunellaConfig } from '../src/config/index.ts'
import type { Json } from '../src/model/json.ts'
import type { NodeDoor } from '../src/port/node.ts'
import { factsOf, harmBetween, harmRow } from './parts/calm.ts'
import { listen } from './parts/life.ts'
import { Spinners } from './parts/spinners.ts'
import { agentFile, benchNode, ready, report, row, settingsOf } from './support.ts'

const replicasPerPool = 4
const spinnerCount = 16
const turnMs = 100
/** Longer than a task of any pool but `slow` takes here, so that each ends some. */
const shortMs = 120_000
/** What starting leaves behind has settled by then. */
const warmShare = 0.2

/** Kinds of work that a hasty healer takes for faults. `wave`: tasks that come together, each time that none is left. */
const kinds: Readonly<Record<string, { readonly wave: number; readonly concurrency?: number; readonly input: Json }>> =
  {
    busy: { wave: 40, input: { do: 'steps', steps: 40 } },
    bursty: { wave: 200, input: { do: 'steps', steps: 4 } },
    slow: { wave: replicasPerPool, input: { do: 'talk', minuteMs: 60_000 } },
    polling: { wave: 8, concurrency: 2, input: { do: 'poll', polls: 60 } },
    batching: { wave: 12, input: { do: 'batch', items: 40 } },
  }

export async function run(argv: readonly string[]): Promise<boolean> {
  const settings = settingsOf(argv, { runs: 1, shortRuns: 1 })
  const forMs = settings.short ? shortMs : 3_600_000
  const told: unknown[] = []
  const receiver = await listen((message) => void told.push(message))
  const pool = { agent: agentFile('patient'), replicas: { min: replicasPerPool, max: replicasPerPool } }
  const pools: NonNullable<PrunellaConfig['pools']> = Object.fromEntries(
    Object.entries(kinds).map(([name, { concurrency = 1 }]) => [name, { ...pool, concurrency }]),
  )
  const bench = await benchNode(pools, null, {
    notify: [
      { kind: 'webhook', url: receiver.url, secret: 'a secret of a benchmark', minimum: 'info', allowPrivate: true },
    ],
  })
  const spinners = new Spinners()
  const { door } = bench.node
  const outcomes = new Map<string, number>()
  door.subscribe(null, ({ notice }) => {
    if (notice.kind === 'attempt_ended') outcomes.set(notice.outcome, (outcomes.get(notice.outcome) ?? 0) + 1)
  })
  try {
    await ready(bench.node, replicasPerPool * Object.keys(kinds).length)
    const before = await factsOf(door)
    spinners.start(spinnerCount)
    const seen = await watch(door, forMs)
    const harm = harmBetween(before, await factsOf(door))
    const actions = (await door.metrics()).match(/^prunella_recoveries_total\{.*/gm) ?? []
    for (const each of [...actions, ...told.map((message) => JSON.stringify(message))]) console.error(each)
    const done = outcomes.get('done') ?? 0
    const others = [...outcomes].filter(([outcome]) => outcome !== 'done').reduce((sum, [, count]) => sum + count, 0)
    const none = (count: number) => ({ text: '0', met: count === 0 })
    return report('soak', settings, [
      harmRow(`20 replicas, ${spinnerCount} spinners, ${forMs / 60_000} minutes`, [harm]),
      row('actions', [actions.length], '', none(actions.length)),
      row('notifications', [told.length], '', none(told.length)),
      row('attempts that ended otherwise than done', [others], '', none(others)),
      row('attempts done', [done], '', { text: '> 0', met: done > 0 }),
      row('longest silence of a pulse', [seen.pulseMs], 'ms'),
      row('longest delay of the supervisor', [seen.lagMs], 'ms'),
      row('memory of the supervisor, after the first fifth and at the end', seen.rssMiB, 'MiB'),
    ])
  } finally {
    spinners.end()
    await bench.end()
    await receiver.close()
  }
}

interface Seen {
  readonly pulseMs: number
  readonly lagMs: number
  readonly rssMiB: readonly number[]
}

/** Keeps every pool in work for so long, and looks. */
async function watch(door: NodeDoor, forMs: number): Promise<Seen> {
  const startMs = performance.now()
  const rssMiB: number[] = []
  let [pulseMs, lagMs, saidMs] = [0, 0, startMs]
  for (let nowMs = startMs; nowMs - startMs < forMs; nowMs = performance.now()) {
    await giveWork(door)
    pulseMs = Math.max(pulseMs, ...door.replicas().map((replica) => replica.pulseAgeMs ?? 0))
    lagMs = Math.max(lagMs, door.node().lagMs)
    if (rssMiB.length === 0 && nowMs - startMs > warmShare * forMs) rssMiB.push(residentMiB())
    if (nowMs - saidMs > 60_000) {
      saidMs = nowMs
      const { rows } = await door.incidents({ limit: 1 })
      console.error(
        `${Math.round((nowMs - startMs) / 60_000)} minutes, ${rows.length === 0 ? 'no incident' : 'INCIDENTS'}`,
      )
    }
    await sleep(turnMs)
  }
  return { pulseMs, lagMs, rssMiB: [...rssMiB, residentMiB()] }
}

async function giveWork(door: NodeDoor): Promise<void> {
  for (const { name, depth } of door.pools()) {
    const kind = kinds[name]
    if (kind === undefined || depth.queued + depth.leased > 0) continue
    await door.submit(
      name,
      Array.from({ length: kind.wave }, () => ({ input: kind.input })),
    )
  }
}

function residentMiB(): number {
  return process.memoryUsage.rss() / 1024 ** 2
}
