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

function rowsOf(kind: Kind, courses: readonly Course[]): Row[] {
  const values = (of: (course: Course) => number): readonly number[] => courses.map(of)
  const bar = (
    what: string,
    unit: string,
    of: (course: Course) => number,
    text: string,
    is: (value: number) => boolean,
  ) => row(`${kind}: ${what}`, values(of), unit, { text, met: values(of).every(is) })
  const zero = (what: string, of: (course: Course) => number) => bar(what, '', of, '0', (value) => value === 0)
  const isFlapping = kind === 'flaps'
  const common = [
    zero('restarts, drains, resets', ({ recoveries }) => recoveries),
    zero('processes that are not the first of their place', ({ replaced }) => replaced),
    zero('quarantines', ({ quarantined }) => quarantined),
    zero('attempts counted', ({ counted }) => counted),
    zero('tasks that are not done', ({ notDone }) => notDone),
    row(
      `${kind}: tasks done`,
      values(({ done }) => done),
      '',
    ),
    row(
      `${kind}: calls of tasks while it was out and known to be`,
      values(({ calls }) => calls),
      '',
    ),
  ]
  const alerts = `${isFlapping ? 'at most two in all' : 'one at its start, one at its end'}`
  const told = bar(
    'notifications',
    '',
    ({ opened, resolved, others }) => opened + resolved + others,
    alerts,
    (sum) => (isFlapping ? sum <= 2 : sum === 2),
  )
  if (isFlapping) return [...common, told]
  return [
    bar(
      'noticed after',
      's',
      ({ noticedMs }) => noticedMs / 1_000,
      'at most 10 s',
      (value) => value <= 10,
    ),
    ...common,
    bar(
      'probes',
      '',
      ({ probes }) => probes,
      'some',
      (value) => value > 0,
    ),
    bar(
      'shortest time between two probes',
      's',
      ({ probeGapMs }) => probeGapMs / 1_000,
      'at least 5 s',
      (value) => value >= minGapS,
    ),
    told,
    bar(
      'told at its start and at its end',
      '',
      ({ opened, resolved }) => Math.min(opened, resolved),
      '1',
      (value) => value === 1,
    ),
    row(
      `${kind}: throughput before`,
      values(({ before }) => before),
      '/s',
    ),
    bar(
      '90 % of that again after',
      's',
      ({ againMs }) => againMs / 1_000,
      'at most 15 s',
      (value) => value <= 15,
    ),
    bar(
      'busiest second after its return',
      '/s',
      ({ peak }) => peak,
      `at most ${overRate * rate}`,
      (value) => value <= overRate * rate,
    ),
    zero('calls refused for their rate', ({ limited }) => limited),
  ]
}
