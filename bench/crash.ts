/** The supervisor killed with SIGKILL at random moments under load: tasks lost, effects under old fences, orphans, and how soon work goes on. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Effect, Life, listen } from './parts/life.ts'
import { type Row, report, row, settingsOf, waitFor } from './support.ts'

/** The backlog that 200 short lives leave behind takes two replicas a minute and a half. */
const drainMs = 300_000

/** What the sink saw: it accepts by key and fence, and remembers when which supervisor's agents last posted. */
class Sink {
  readonly fences = new Map<string, number>()
  readonly keys = new Set<string>()
  /** Every post in order, with what was said to it: the verdict is counted from this log, not by who wrote it. */
  readonly log: { readonly effect: Effect; readonly accepted: boolean }[] = []
  readonly lastMs = new Map<number, number>()
  readonly firstMs = new Map<number, number>()
  stale = 0
  repeated = 0

  take(effect: Effect): void {
    const nowMs = performance.now()
    this.lastMs.set(effect.supervisor, nowMs)
    if (!this.firstMs.has(effect.supervisor)) this.firstMs.set(effect.supervisor, nowMs)
    const newest = this.fences.get(effect.task) ?? 0
    const stale = effect.fence < newest
    const repeated = this.keys.has(effect.key)
    if (stale) this.stale++
    else if (repeated) this.repeated++
    this.keys.add(effect.key)
    this.log.push({ effect, accepted: !stale && !repeated })
    this.fences.set(effect.task, Math.max(newest, effect.fence))
  }
}

export async function run(argv: readonly string[]): Promise<boolean> {
  const settings = settingsOf(argv, { runs: 200, shortRuns: 8 })
  const chance = lots(settings.seed)
  const folder = await mkdtemp(join(tmpdir(), 'prunella-crash-'))
  const sink = new Sink()
  const { url, close } = await listen((effect) => sink.take(effect))
  const ids: string[] = []
  const killedMs = new Map<number, number>()
  const resumeMs: number[] = []
  try {
    for (let at = 0; at < settings.runs; at++) {
      const life = new Life(folder, url, ids)
      const startedMs = performance.now()
      await life.started
      life.send({ submit: 10 })
      const pid = life.pid
      await waitFor(() => sink.firstMs.has(pid), 'the first effect of this life', 20_000)
      if (at > 0) resumeMs.push((sink.firstMs.get(pid) ?? 0) - startedMs)
      await new Promise((resolve) => setTimeout(resolve, chance() * 400))
      killedMs.set(pid, performance.now())
      await life.kill()
      if ((at + 1) % 20 === 0) console.error(`${at + 1} of ${settings.runs} kills, ${ids.length} tasks acknowledged`)
    }
    const { lost, unfinished } = await drain(folder, url, ids)
    const { old, twice } = audit(sink)
    // Counted when all is over, so that an orphan's effect is not missed however late it came.
    const orphanMs = [...killedMs].map(([pid, atMs]) => Math.max(0, (sink.lastMs.get(pid) ?? 0) - atMs))
    return report('crash', settings, rows({ lost, unfinished, old, twice, orphanMs, resumeMs, sink }))
  } finally {
    await close()
    await rm(folder, { recursive: true, force: true })
  }
}

interface Seen {
  readonly lost: number
  readonly unfinished: number
  readonly old: number
  readonly twice: number
  readonly orphanMs: readonly number[]
  readonly resumeMs: readonly number[]
  readonly sink: Sink
}

function rows({ lost, unfinished, old, twice, orphanMs, resumeMs, sink }: Seen): Row[] {
  return [
    row('acknowledged tasks lost', [lost], '', { text: '0', met: lost === 0 }),
    row('tasks not done after the last drain', [unfinished], '', { text: '0', met: unfinished === 0 }),
    row('effects accepted under an old fence', [old], '', { text: '0', met: old === 0 }),
    row('effects accepted twice', [twice], '', { text: '0', met: twice === 0 }),
    row('effects refused as repeated', [sink.repeated], ''),
    row('effects refused as stale', [sink.stale], ''),
    row('last effect of orphans after the kill', orphanMs, 'ms', {
      text: '≤ 1 s',
      met: Math.max(...orphanMs) <= 1_000,
    }),
    row('restart to first effect', resumeMs, 'ms', { text: '≤ 3 s', met: Math.max(...resumeMs) <= 3_000 }),
  ]
}

/** Reads the log again from the end: an accepted post must not follow a higher fence of its task, nor its own key. */
function audit(sink: Sink): { readonly old: number; readonly twice: number } {
  const accepted = sink.log.filter((entry) => entry.accepted)
  const twice = accepted.length - new Set(accepted.map(({ effect }) => effect.key)).size
  const higher = (fence: number, task: string, before: number): boolean =>
    sink.log.slice(0, before).some(({ effect }) => effect.task === task && effect.fence > fence)
  const old = sink.log.filter(({ effect, accepted: was }, at) => was && higher(effect.fence, effect.task, at)).length
  return { old, twice }
}

/** One last life that nobody kills: everything acknowledged must end. */
async function drain(
  folder: string,
  url: string,
  ids: readonly string[],
): Promise<{ readonly lost: number; readonly unfinished: number }> {
  const life = new Life(folder, url, [])
  await life.started
  let statuses: readonly string[] = []
  const endMs = performance.now() + drainMs
  do {
    // Asking for thousands of tasks is work too: not more often than this.
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    statuses = await life.status(ids)
  } while (statuses.some((status) => status !== 'done') && performance.now() < endMs)
  const others = Object.entries(Object.groupBy(statuses, (status) => status)).filter(([status]) => status !== 'done')
  for (const [status, all = []] of others) console.error(`after the drain: ${all.length} ${status}`)
  await life.kill()
  const lost = statuses.filter((status) => status === 'lost').length
  return { lost, unfinished: statuses.filter((status) => status !== 'done').length - lost }
}

/** mulberry32: the kill moments follow from the seed. */
function lots(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}
