import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Load } from '../../src/cli/chaos-load.ts'
import { type Client, createClient } from '../../src/cli/client.ts'
import type { WireIncident, WireInjection, WireReplica, WireTask } from '../../src/cli/wire.ts'
import type { PrunellaConfig } from '../../src/config/index.ts'
import type { ChaosFault } from '../../src/model/chaos.ts'
import type { Json } from '../../src/model/json.ts'
import { Postgres } from '../../test/postgres.ts'
import type { SimRandom } from '../../test/sim/random.ts'
import { agentFile, benchNode, waitFor } from '../support.ts'
import { Courses } from './attribution-verdict.ts'
import { ScriptedProvider } from './scripted-provider.ts'

export type Pool = NonNullable<PrunellaConfig['pools']>[string]

const token = 'bench-token-bench-token'
const lookMs = 200

/** Like the defaults, ten times as fast; what is a share of something else is as it is. */
const clocks = {
  pulse: { every: '300ms', suspect: '1s', hung: '2s' },
  deadlines: { tool: '2s', step: '10s', idle: '10s' },
  recovery: {
    ...{ probation: '1s', reset: '1s', grace: '1s', drain: '2s' },
    backoff: { base: '200ms', max: '2s' },
  },
  retry: { attempts: 3, backoff: { base: '300ms', max: '2s' } },
} satisfies Partial<Pool>
const breaker = { window: '4s', probe: '500ms', probeMax: '1s', stable: '1s', flap: '8s', ramp: '500ms' } as const

/** What a kind of fault needs to be done to. */
export interface Shape {
  readonly pool?: Partial<Pool>
  /** The agents call the provider, and say its name or not. Absent: they do not. */
  readonly uses?: 'named' | 'unnamed'
  /** Only tasks that say so need it, not the pool. */
  readonly someNeedIt?: true
  /** The pool needs a database of its own: a real Postgres. */
  readonly hasDatabase?: true
  /** The supervisor is a process of its own, to be hurt. */
  readonly apart?: true
  readonly asksForSetup?: true
  /** At default clocks. */
  readonly patient?: true
}

export interface Draw {
  readonly random: SimRandom
  readonly replicas: number
  readonly concurrency: number
  readonly steps: number
  readonly stepMs: number
}

interface Running {
  readonly url: string
  readonly folder: string
  readonly pid: number | null
  end(): Promise<void>
}

/** One real node with one pool at work, and everything that a fault may be done with. */
export class Stage {
  readonly pool = 'p'
  readonly provider = new ScriptedProvider(20)
  readonly courses = new Courses()
  readonly draw: Draw
  readonly victim: string
  incidents: readonly WireIncident[] = []
  /** No more than this many tasks are kept under way; null: none is added. */
  wanted: number | null
  private readonly shape: Shape
  private client: Client | null = null
  private load: Load | null = null
  private running: Running | null = null
  private postgres: Postgres | null = null
  private readonly own = new Set<string>()
  private struckMs: number | null = null
  private readonly startMs = Date.now()

  constructor(shape: Shape, draw: Draw) {
    const { random, replicas, concurrency } = draw
    this.shape = shape
    this.draw = draw
    this.victim = `${this.pool}/${random.between(0, replicas - 1)}`
    this.wanted = replicas * concurrency + random.between(0, 3)
  }

  get api(): Client {
    if (this.client === null) throw new Error('not opened')
    return this.client
  }

  /** Of the supervisor, where it is a process of its own. */
  get pid(): number {
    const pid = this.running?.pid ?? null
    if (pid === null) throw new Error('the supervisor is no process of its own')
    return pid
  }

  get database(): Postgres {
    if (this.postgres === null) throw new Error('this kind has no database')
    return this.postgres
  }

  get storePath(): string {
    return join(this.running?.folder ?? '', '.prunella', 'state.db')
  }

  async open(): Promise<void> {
    await this.provider.listen()
    if (this.shape.hasDatabase === true) this.postgres = await Postgres.start()
    const urls = { provider: this.provider.url, database: this.postgres?.url ?? '' }
    const config = configOf(this.shape, this.draw, urls, this.pool)
    this.running = await (this.shape.apart === true ? apart(config) : within(config))
    this.client = createClient({ url: this.running.url, token, fetch })
    const { steps, stepMs } = this.draw
    this.load = new Load(this.client, this.pool, { steps, stepMs }, `t-${this.startMs}`)
  }

  async close(): Promise<void> {
    await this.running?.end()
    await this.provider.refuse()
    await this.postgres?.remove()
  }

  /** Looks at everything once, and keeps the pool busy. */
  async look(): Promise<void> {
    const { incidents } = await this.api.get<{ readonly incidents: readonly WireIncident[] }>('/api/v1/incidents', {
      limit: 100,
    })
    // What a person asked for is no verdict.
    this.incidents = incidents.filter(({ fault }) => fault.kind !== 'operator').toReversed()
    for (const one of this.incidents)
      this.courses.see({ ...one, taskId: one.task }, this.struckMs ?? Date.now(), Date.now())
    await this.load?.look()
    if (this.wanted !== null) await this.load?.fill(this.wanted)
  }

  /** Looks until it is so. @returns whether it became so in time. */
  async until(condition: () => boolean | Promise<boolean>, withinMs: number): Promise<boolean> {
    for (const endMs = Date.now() + withinMs; ; await sleep(lookMs)) {
      // The node may be stopped, or refuse: it is asked again.
      await this.look().catch(() => undefined)
      if (await condition()) return true
      if (Date.now() > endMs) return false
    }
  }

  /** @throws Error when it did not become so in time: then the fault was not done. */
  async must(condition: () => boolean | Promise<boolean>, what: string, withinMs: number): Promise<void> {
    if (!(await this.until(condition, withinMs))) throw new Error(`waited ${withinMs} ms for ${what}`)
  }

  /** From now on the fault is there. */
  struck(): void {
    this.struckMs ??= Date.now()
  }

  async isSettled(): Promise<boolean> {
    if (this.load?.isSettled !== true) return false
    const own = await Promise.all([...this.own].map((id) => this.task(id)))
    return own.every(({ finishedAt }) => finishedAt !== null)
  }

  /** Every attempt at the tasks of its own was charged to them, to the last. */
  async isCharged(): Promise<boolean> {
    const own = await Promise.all([...this.own].map((id) => this.task(id)))
    // It fails when as many as that were counted: there were no others.
    const isItsOwn = ({ status, attempts }: WireTask): boolean =>
      status === 'failed' && attempts.length === clocks.retry.attempts
    return own.length > 0 && own.every(isItsOwn)
  }

  async replicas(): Promise<readonly WireReplica[]> {
    return (await this.api.get<{ readonly replicas: readonly WireReplica[] }>('/api/v1/replicas')).replicas
  }

  async replica(name = this.victim): Promise<WireReplica> {
    return this.api.get<WireReplica>(`/api/v1/replicas/${name}`)
  }

  async ready(): Promise<void> {
    const isWhole = async (): Promise<boolean> =>
      (await this.replicas()).filter(({ ready }) => ready).length >= this.draw.replicas
    await waitFor(async () => (await isWhole()) || (await sleep(lookMs)), 'ready replicas', 30_000)
  }

  /** The victim has something in hand. */
  busy(): Promise<void> {
    return waitFor(
      async () => {
        const { ready, tasks } = await this.replica()
        if (!ready || tasks.length === 0) await sleep(10)
        return ready && tasks.length > 0
      },
      `${this.victim} to be busy`,
      30_000,
    )
  }

  /** Injects one fault into the victim, and waits until it has struck. */
  async chaos(fault: ChaosFault, more: { readonly for?: number; readonly replica?: string } = {}): Promise<void> {
    const asked = { replica: this.victim, ...more, fault, reason: 'bench' }
    const { id } = await this.api.post<WireInjection>('/api/v1/chaos', asked)
    await waitFor(async () => {
      const { injections } = await this.api.get<{ readonly injections: readonly WireInjection[] }>('/api/v1/chaos')
      const hit = injections.some((one) => one.id === id && one.strikes.length > 0)
      if (!hit) await sleep(20)
      return hit
    }, `${fault} to strike`)
    this.struck()
  }

  /** A task of its own beside the others. */
  async submit(more: { readonly [key: string]: Json }): Promise<string> {
    const { steps, stepMs } = this.draw
    const { id } = await this.api.post<{ readonly id: string }>(`/api/v1/pools/${this.pool}/tasks`, {
      ...{ input: { steps, stepMs, ...more }, priority: 2 },
    })
    this.own.add(id)
    return id
  }

  task(id: string): Promise<WireTask> {
    return this.api.get<WireTask>(`/api/v1/tasks/${id}`)
  }

  /** Which replica runs it now. */
  async holder(id: string): Promise<string> {
    let name: string | undefined
    await waitFor(async () => {
      name = (await this.replicas()).find(({ tasks }) => tasks.some((task) => task.id === id))?.name
      if (name === undefined) await sleep(10)
      return name !== undefined
    }, `somebody to run ${id}`)
    return name ?? ''
  }
}

interface Urls {
  readonly provider: string
  readonly database: string
}

function configOf(shape: Shape, draw: Draw, urls: Urls, name: string) {
  const { pool, uses, someNeedIt, hasDatabase, asksForSetup, patient } = shape
  const set = {
    ...(uses === undefined ? {} : { PROVIDER: urls.provider }),
    ...(uses === 'named' ? { DEPENDENCY: 'provider' } : {}),
    ...(hasDatabase === undefined ? {} : { DATABASE: urls.database }),
    ...(asksForSetup === undefined ? {} : { SETUP: urls.provider }),
  }
  const whole: Pool = {
    agent: agentFile('judged'),
    replicas: { min: draw.replicas, max: draw.replicas },
    concurrency: draw.concurrency,
    environment: { set },
    ...(patient === undefined ? clocks : {}),
    ...(uses === undefined || someNeedIt === true ? {} : { dependsOn: ['provider'] }),
    ...(hasDatabase === undefined ? {} : { dependsOn: ['database'] }),
    ...pool,
  }
  const patience = { period: '1s', timeout: '400ms', breaker } as const
  const provider = {
    ...{ ...patience, check: { http: `${urls.provider}/models` }, critical: someNeedIt === undefined },
    role: someNeedIt === undefined ? ('other' as const) : ('tool' as const),
  }
  const database = { ...patience, check: { postgres: urls.database }, critical: true, role: 'database' } as const
  const dependencies = {
    ...(uses === undefined ? {} : { provider }),
    ...(hasDatabase === undefined ? {} : { database }),
  }
  return { pools: { [name]: whole }, dependencies } satisfies PrunellaConfig
}

async function within({ pools, dependencies }: ReturnType<typeof configOf>): Promise<Running> {
  const { node, folder, end } = await benchNode(pools, token, { chaos: true, dependencies })
  return { url: node.url ?? '', folder, pid: null, end }
}

async function apart(config: ReturnType<typeof configOf>): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'prunella-bench-'))
  const whole = { ...config, shutdown: '2s', http: { port: 0 } }
  const argv = ['--conditions=prunella-source', agentFile('judged-node'), folder, token, JSON.stringify(whole)]
  const child: ChildProcess = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()))
    child.once('exit', (code) => reject(new Error(`the supervisor ended with ${code}`)))
  })
  const end = async (): Promise<void> => {
    child.kill('SIGCONT')
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
    await gone
    clearTimeout(late)
    await rm(folder, { recursive: true, force: true })
  }
  return { url, folder, pid: child.pid ?? 0, end }
}
