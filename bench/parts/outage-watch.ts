import { setInterval as every } from 'node:timers/promises'
import type { Node } from '../../src/compose.ts'
import { quantile, waitFor } from '../support.ts'
import type { ModelProvider, Outage } from './model-provider.ts'

/** What was measured of one outage. Times in ms, rates a second. */
export interface Course {
  readonly noticedMs: number
  readonly recoveries: number
  readonly replaced: number
  readonly quarantined: number
  readonly counted: number
  readonly done: number
  readonly notDone: number
  readonly probes: number
  readonly probeGapMs: number
  /** Of tasks, while it was out and known to be. */
  readonly calls: number
  readonly opened: number
  readonly resolved: number
  readonly others: number
  readonly before: number
  readonly againMs: number
  readonly peak: number
  readonly limited: number
}

/** What a task is in the API. */
interface Task {
  readonly status: string
  readonly countedAttempts: number
  readonly attempts: readonly { readonly outcome: string | null; readonly counted?: boolean }[]
}

const windowMs = 5_000
const slideMs = 250
/** How long after its return the busiest second is looked for. */
const aftermathMs = 30_000
const lookEveryMs = 20
/** An incident closes when its dependency has stayed well for a minute. */
const overAfterMs = 90_000

/** Looks at a node while its provider is out: from the provider's side, through the node's doors, and at what people are told. */
export class OutageWatch {
  private readonly node: Node
  private readonly provider: ModelProvider
  /** Changes that the receiver was told of, in order. */
  private readonly told: readonly string[]
  private readonly looking = new AbortController()
  /** When the node's record of its last check changed. */
  private readonly checksMs: number[] = []
  private readonly downMs: number[] = []
  private startMs = Number.NaN
  private outMs = Number.NaN
  private backMs = Number.NaN
  private kind: Outage = 'refuses'
  private recoveries = 0
  private pids: readonly (number | null)[] = []

  constructor(node: Node, provider: ModelProvider, told: readonly string[]) {
    this.node = node
    this.provider = provider
    this.told = told
    node.door.subscribe(null, ({ notice }) => {
      if (notice.kind === 'dependency' && !notice.result.ok) this.downMs.push(performance.now())
    })
    void this.look()
  }

  /** From here on the former throughput is taken, and nobody may be touched. */
  async begin(): Promise<void> {
    this.startMs = performance.now()
    this.recoveries = await this.countRecoveries()
    this.pids = this.node.door.replicas().map(({ pid }) => pid)
  }

  out(kind: Outage): void {
    this.kind = kind
    this.outMs = performance.now()
  }

  back(): void {
    this.backMs = performance.now()
  }

  /** @param isTold  Whether the incident's end is waited for. */
  async end(token: string, submitted: number, isTold: boolean): Promise<Course> {
    if (isTold) await waitFor(() => this.told.includes('resolved'), 'the incident to be over', overAfterMs)
    await waitFor(() => this.open === 0, 'every task to end', overAfterMs)
    this.looking.abort()
    const { door } = this.node
    const tasks = await this.tasks(token)
    if (tasks.length !== submitted) throw new Error(`${submitted} tasks were submitted, the API has ${tasks.length}`)
    const { calls, answeredMs, limited } = this.provider
    const noticedMs = this.downMs.find((atMs) => atMs >= this.outMs) ?? Number.POSITIVE_INFINITY
    const probesMs = this.probesMs()
    const callsMs = calls.map(({ atMs }) => atMs)
    const before = quantile(rates(answeredMs, this.startMs, this.outMs), 0.5)
    const again = endOf(answeredMs, this.backMs, 0.9 * before)
    const told = (change: string): number => this.told.filter((one) => one === change).length
    return {
      noticedMs: noticedMs - this.outMs,
      recoveries: (await this.countRecoveries()) - this.recoveries,
      replaced: door.replicas().filter(({ pid }) => !this.pids.includes(pid)).length,
      quarantined: door.pools().reduce((sum, { phases }) => sum + phases.quarantined, 0),
      counted: tasks.reduce((sum, task) => sum + chargedTo(task), 0),
      done: tasks.filter(({ status }) => status === 'done').length,
      notDone: tasks.filter(({ status }) => status !== 'done').length,
      probes: probesMs.length,
      probeGapMs: Math.min(...probesMs.slice(1).map((atMs, at) => atMs - (probesMs[at] ?? 0))),
      calls: between(callsMs, noticedMs, this.backMs).length,
      ...{ opened: told('opened'), resolved: told('resolved') },
      others: this.told.length - told('opened') - told('resolved'),
      ...{ before, againMs: again - this.backMs },
      peak: peak(between(callsMs, this.backMs, this.backMs + aftermathMs)),
      limited,
    }
  }

  /** Tasks that have not ended. */
  private get open(): number {
    return this.node.door.pools().reduce((sum, { depth }) => sum + depth.queued + depth.scheduled + depth.leased, 0)
  }

  /** While it is out. Where it refuses connections only who asks knows that it did. */
  private probesMs(): readonly number[] {
    return between(this.kind === 'refuses' ? this.checksMs : this.provider.probesMs, this.outMs, this.backMs)
  }

  private async look(): Promise<void> {
    let lastMs: number | null = null
    try {
      for await (const _ of every(lookEveryMs, undefined, { signal: this.looking.signal })) {
        const checkedMs = this.node.door.dependencies()[0]?.checkedMs ?? null
        if (checkedMs !== lastMs) this.checksMs.push(performance.now())
        lastMs = checkedMs
      }
    } catch (error) {
      if (!this.looking.signal.aborted) throw error
    }
  }

  /** Actions on replicas and tasks. Holding a pool and letting it go touches neither. */
  private async countRecoveries(): Promise<number> {
    const lines = (await this.node.door.metrics()).match(/^prunella_recoveries_total\{.*/gm) ?? []
    return lines
      .filter((line) => !/action="(hold|resume)"/.test(line))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  }

  private async tasks(token: string): Promise<readonly Task[]> {
    const tasks: Task[] = []
    for (let cursor = ''; ; ) {
      const url = `${this.node.url}/api/v1/tasks?limit=500${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`
      const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
      if (!response.ok) throw new Error(`${url}: ${response.status}`)
      const page = (await response.json()) as { tasks: readonly Task[]; cursor: string | null }
      tasks.push(...page.tasks)
      if (page.cursor === null) return tasks
      cursor = page.cursor
    }
  }
}

/** Attempts that the store counts against it, beside the one that has done it. */
function chargedTo({ countedAttempts, attempts }: Task): number {
  return countedAttempts - attempts.filter(({ outcome, counted }) => outcome === 'done' && counted === true).length
}

function between(timesMs: readonly number[], fromMs: number, toMs: number): readonly number[] {
  return timesMs.filter((atMs) => atMs >= fromMs && atMs < toMs)
}

/** Answers a second, in one window after the other. */
function rates(answeredMs: readonly number[], fromMs: number, toMs: number): readonly number[] {
  const all: number[] = []
  for (let atMs = fromMs; atMs + windowMs <= toMs; atMs += windowMs)
    all.push((between(answeredMs, atMs, atMs + windowMs).length * 1_000) / windowMs)
  return all
}

/** When the first window with so many answers a second ends. */
function endOf(answeredMs: readonly number[], fromMs: number, rate: number): number {
  for (let atMs = fromMs; atMs < fromMs + 10 * windowMs; atMs += slideMs)
    if ((between(answeredMs, atMs, atMs + windowMs).length * 1_000) / windowMs >= rate) return atMs + windowMs
  return Number.POSITIVE_INFINITY
}

/** Calls in the busiest second. */
function peak(callsMs: readonly number[]): number {
  return Math.max(0, ...callsMs.map((fromMs) => between(callsMs, fromMs, fromMs + 1_000).length))
}
