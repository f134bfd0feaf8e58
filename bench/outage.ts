/** A model provider that is out for five minutes, in four ways, and one that flaps, under a pool of real processes. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { NodeDoor } from '../src/port/node.ts'
import { listen } from './parts/life.ts'
import { ModelProvider, type Outage } from './parts/model-provider.ts'
import { type Course, OutageWatch } from './parts/outage-watch.ts'
import { agentFile, benchNode, type Row, ready, report, row, settingsOf } from './support.ts'

/*
 * Four replicas with two places each, at default settings; each answer takes
 * 400 ms, so that they make 20 calls a second, which is the provider's
 * configured rate: what comes beyond 1.5 times that in any one second gets 429.
 * There is always work for every place.
 *
 * What the agent does about silence is its own affair until there is a gateway:
 * half of the tasks give a call up after 4 s and fail; a quarter tries twice
 * more before; a quarter has no patience of its own at all and asks again every
 * 10 s, in a step whose deadline is 60 s and must stand still meanwhile.
 *
 * A probe is a request that no task made: the provider tells them by their
 * path. A connection that is refused it cannot see: there the node's own record
 * of its checks counts.
 */
const replicas = 4
const concurrency = 2
const latencyMs = 400
const rate = (replicas * concurrency * 1_000) / latencyMs
const overRate = 1.5
const callsPerTask = 2
/** Five seconds, less what looking at it takes, s. */
const minGapS = 4.95
/** Tasks that wait at any time, so that every place has work. */
const queued = 40
const hows = ['gives_up', 'gives_up', 'retries', 'waits'] as const

const kinds = ['refuses', 'unavailable', 'hangs', 'calls_fail', 'flaps'] as const
type Kind = (typeof kinds)[number]

const token = 'bench-token-bench-token'
/** What the first tasks of fresh processes cost is over by then. */
const settleMs = 3_000

export async function run(argv: readonly string[]): Promise<boolean> {
  const settings = settingsOf(argv, { runs: 1, shortRuns: 1, only: kinds })
  const rows: Row[] = []
  for (const kind of settings.only) {
    const courses: Course[] = []
    for (let at = 0; at < settings.runs; at++)
      courses.push(await play(kind, settings.short, settings.seed + 1_000 * at))
    rows.push(...rowsOf(kind, courses))
  }
  const isKept = ({ what }: Row): boolean => !settings.only.some((kind) => what.startsWith(`${kind}: `))
  return report('outage', settings, rows, isKept)
}

async function play(kind: Kind, isShort: boolean, seed: number): Promise<Course> {
  const provider = new ModelProvider(latencyMs, overRate * rate)
  await provider.listen()
  const told: string[] = []
  const receiver = await listen((message) => void told.push((message as unknown as { change: string }).change))
  const { url } = provider
  const place = { agent: agentFile('caller'), replicas: { min: replicas, max: replicas }, concurrency }
  const callers = { ...place, dependsOn: ['llm'], environment: { set: { OPENAI_BASE_URL: url } } }
  const bench = await benchNode({ callers }, token, {
    gateway: { providers: { llm: { api: 'openai', baseUrl: url } } },
    notify: [{ kind: 'webhook', url: receiver.url, secret: 'a secret of a benchmark', allowPrivate: true }],
  })
  const feeder = new Feeder(bench.node.door, seed)
  try {
    await ready(bench.node, replicas)
    const watch = new OutageWatch(bench.node, provider, told)
    const feeding = feeder.run()
    await sleep(settleMs)
    await watch.begin()
    await sleep(isShort ? 10_000 : 20_000)
    if (kind === 'flaps') await flap(provider, watch, isShort)
    else await goOut(provider, watch, kind, isShort ? 20_000 : 300_000)
    feeder.end()
    await feeding
    return await watch.end(token, feeder.submitted, kind !== 'flaps')
  } finally {
    feeder.end()
    await bench.end()
    await receiver.close()
    await provider.close()
  }
}

async function goOut(provider: ModelProvider, watch: OutageWatch, kind: Outage, forMs: number): Promise<void> {
  await provider.fail(kind)
  watch.out(kind)
  await sleep(forMs)
  await provider.mend()
  watch.back()
  await sleep(30_000)
}

/** Ten times out for half a minute and back for as long. */
async function flap(provider: ModelProvider, watch: OutageWatch, isShort: boolean): Promise<void> {
  const [times, halfMs] = isShort ? [3, 10_000] : [10, 30_000]
  for (let at = 0; at < times; at++) {
    await provider.fail('refuses')
    if (at === 0) watch.out('refuses')
    await sleep(halfMs)
    await provider.mend()
    if (at === times - 1) watch.back()
    await sleep(halfMs)
  }
}

/** Keeps so many tasks waiting. */
class Feeder {
  submitted = 0
  private readonly door: NodeDoor
  private state: number
  private isOver = false

  constructor(door: NodeDoor, seed: number) {
    this.door = door
    this.state = seed
  }

  async run(): Promise<void> {
    while (!this.isOver) {
      const waiting = this.door.pools().reduce((sum, { depth }) => sum + depth.queued + depth.scheduled, 0)
      const count = Math.max(0, queued - waiting)
      const inputs = Array.from({ length: count }, () => ({ calls: callsPerTask, how: this.draw() }))
      this.submitted += count
      if (count > 0)
        await this.door.submit(
          'callers',
          inputs.map((input) => ({ input })),
        )
      await sleep(100)
    }
  }

  end(): void {
    this.isOver = true
  }

  /** A linear congruential generator: the same tasks for the same seed. */
  private draw(): string {
    this.state = (Math.imul(this.state, 1_664_525) + 1_013_904_223) >>> 0
    return hows[this.state >>> 30] ?? 'gives_up'
  }
}

interface Figure {
  readonly what: string
  readonly unit?: string
  readonly of: (course: Course) => number
  readonly bar?: readonly [text: string, isMet: (value: number) => boolean]
}

const none = ['0', (value: number) => value === 0] as const

/** What holds of one that is out once and of one that flaps. */
const common: readonly Figure[] = [
  { what: 'restarts, drains, resets', of: ({ recoveries }) => recoveries, bar: none },
  { what: 'processes that are not the first of their place', of: ({ replaced }) => replaced, bar: none },
  { what: 'quarantines', of: ({ quarantined }) => quarantined, bar: none },
  { what: 'attempts counted', of: ({ counted }) => counted, bar: none },
  { what: 'tasks that are not done', of: ({ notDone }) => notDone, bar: none },
  { what: 'tasks done', of: ({ done }) => done },
  { what: 'calls of tasks while it was out and known to be', of: ({ calls }) => calls },
]

const notified = ({ opened, resolved, others }: Course): number => opened + resolved + others

const flapping: readonly Figure[] = [
  ...common,
  { what: 'notifications', of: notified, bar: ['at most 2', (value) => value <= 2] },
]

const once: readonly Figure[] = [
  {
    ...{ what: 'noticed after', unit: 's', of: ({ noticedMs }) => noticedMs / 1_000 },
    bar: ['at most 10 s', (value) => value <= 10],
  },
  ...common,
  { what: 'probes', of: ({ probes }) => probes, bar: ['some', (value) => value > 0] },
  {
    ...{ what: 'shortest time between two probes', unit: 's', of: ({ probeGapMs }) => probeGapMs / 1_000 },
    bar: ['at least 5 s', (value) => value >= minGapS],
  },
  { what: 'notifications at its start', of: ({ opened }) => opened, bar: ['1', (value) => value === 1] },
  { what: 'notifications at its end', of: ({ resolved }) => resolved, bar: ['1', (value) => value === 1] },
  { what: 'notifications in between', of: ({ others }) => others, bar: none },
  { what: 'throughput before', unit: '/s', of: ({ before }) => before },
  {
    ...{ what: '90 % of that again after', unit: 's', of: ({ againMs }) => againMs / 1_000 },
    bar: ['at most 15 s', (value) => value <= 15],
  },
  {
    ...{ what: 'busiest second after its return', unit: '/s', of: ({ peak }) => peak },
    bar: [`at most ${overRate * rate}`, (value) => value <= overRate * rate],
  },
  { what: 'calls refused for their rate', of: ({ limited }) => limited, bar: none },
]

function rowsOf(kind: Kind, courses: readonly Course[]): readonly Row[] {
  return (kind === 'flaps' ? flapping : once).map(({ what, unit = '', of, bar }) => {
    const values = courses.map(of)
    return row(`${kind}: ${what}`, values, unit, bar && { text: bar[0], met: values.every(bar[1]) })
  })
}
