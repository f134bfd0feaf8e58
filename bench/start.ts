/** A TypeScript agent against a bare Node process: spawn to ready, and what each costs idle; from source and as built. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { resolveConfig } from '../src/config/index.ts'
import { createClock } from '../src/io/clock.ts'
import type { Observation } from '../src/model/observation.ts'
import type { PoolSpec } from '../src/model/pool.ts'
import type { ProcessHost } from '../src/port/process-host.ts'
import { agentFile, quantile, type Row, report, row, type Settings, settingsOf, waitFor } from './support.ts'

type HostModule = typeof import('../src/io/process/host.ts')

const root = fileURLToPath(new URL('..', import.meta.url))
const idleProcesses = 10
/** Readings this far apart that agree this closely, MiB a process: what start-up left behind has settled. */
const readingEveryMs = 500
const agreementMiB = 0.02

/** What users run is `dist`: `npm run build` before this. */
const variants = [
  { name: 'source', hostUrl: new URL('../src/io/process/host.ts', import.meta.url) },
  { name: 'package', hostUrl: new URL('../dist/io/process/host.js', import.meta.url) },
] as const

export async function run(argv: readonly string[]): Promise<boolean> {
  const settings = settingsOf(argv, { runs: 100, shortRuns: 20 })
  const rows: Row[] = []
  for (const { name, hostUrl } of variants) {
    const { createProcessHost } = (await import(hostUrl.href)) as HostModule
    rows.push(...(await measure(name, createProcessHost, settings)))
  }
  return report('start', settings, rows)
}

async function measure(
  name: string,
  createProcessHost: HostModule['createProcessHost'],
  { runs }: Settings,
): Promise<readonly Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'prunella-start-'))
  await chmod(folder, 0o711) // Replicas have users of their own.
  const agents = new Agents(createProcessHost, folder)
  try {
    // The first start strips the types, and brings files into the page cache.
    for (let warm = 0; warm < 2; warm++) {
      await bareStartMs(folder)
      await agents.startMs()
    }
    const bare: number[] = []
    const agent: number[] = []
    for (let at = 0; at < runs; at++) {
      if (at % 2 === 0) bare.push(await bareStartMs(folder))
      agent.push(await agents.startMs())
      if (at % 2 === 1) bare.push(await bareStartMs(folder))
    }
    const ratios = agent.map((ms, at) => ms / (bare[at] ?? Number.NaN))
    const bareIdle = await idleOf(await bareGroup(folder))
    const agentIdle = await idleOf(await agents.group())
    const overMiB = (kind: keyof Memory): number[] =>
      agentIdle.map((each, at) => each[kind] - (bareIdle[at]?.[kind] ?? 0))
    const pss = overMiB('pssMiB')
    return [
      row(`${name}: bare, spawn to first line`, bare, 'ms'),
      row(`${name}: agent, spawn to ready`, agent, 'ms'),
      row(`${name}: agent / bare`, ratios, '×', { text: 'median ≤ 1.3', met: quantile(ratios, 0.5) <= 1.3 }),
      row(`${name}: idle PSS over bare`, pss, 'MiB', { text: 'median ≤ 3 MiB', met: quantile(pss, 0.5) <= 3 }),
      row(`${name}: idle RSS over bare`, overMiB('rssMiB'), 'MiB'),
    ]
  } finally {
    await agents.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Agents of one real process host, with everything that it does for each: stripping, user id, folders, frames. */
class Agents {
  readonly #host: ProcessHost
  readonly #observed = new Set<(observation: Observation) => void>()
  readonly #pool: PoolSpec
  readonly #folder: string
  #incarnation = 0

  constructor(createProcessHost: HostModule['createProcessHost'], folder: string) {
    const config = resolveConfig(
      { pools: { noop: { agent: agentFile('noop') } } },
      { root, stateFolder: folder, env: {}, fileExists: () => true },
    )
    const [pool] = config.pools
    if (pool === undefined) throw new Error('the pool is configured')
    this.#pool = pool
    this.#folder = folder
    this.#host = createProcessHost({
      inbox: {
        push: (observation) => {
          for (const listener of this.#observed) listener(observation)
        },
        full: false,
        onDrain: () => undefined,
      },
      clock: createClock(),
      log: { info: () => undefined, warn: (_, text) => console.error(text), error: (_, text) => console.error(text) },
      pools: [pool],
      root,
      workFolder: folder,
      storeId: `start-${process.pid}`,
      secrets: [],
    })
  }

  /** One agent from the host's order to its `ready`, ms. It is gone again afterwards. */
  async startMs(): Promise<number> {
    const startMs = performance.now()
    const { readyMs, end } = await this.#start(0)
    await end()
    await waitFor(async () => (await readdir(join(this.#folder, 'run'))).length === 0, 'its folders to be removed')
    return readyMs - startMs
  }

  async group(): Promise<readonly Member[]> {
    return Promise.all(Array.from({ length: idleProcesses }, (_, at) => this.#start(at)))
  }

  close(): Promise<void> {
    return this.#host.close()
  }

  #start(place: number): Promise<Member & { readonly readyMs: number }> {
    const { name } = this.#pool
    this.#incarnation += 1
    const subject = { replica: `${name}/${place}`, incarnation: this.#incarnation } as const
    const gone = Promise.withResolvers<void>()
    const ready = Promise.withResolvers<Member & { readonly readyMs: number }>()
    let pid = 0
    const end = (): Promise<void> => {
      this.#host.apply({ kind: 'terminate', ...subject, graceMs: 0 })
      return gone.promise
    }
    const listener = (observation: Observation): void => {
      if (!('replica' in observation) || observation.replica !== subject.replica) return
      if (observation.kind === 'spawned') pid = observation.pid
      if (observation.kind === 'ready') ready.resolve({ pid, end, readyMs: performance.now() })
      if (observation.kind !== 'exited') return
      this.#observed.delete(listener)
      gone.resolve()
      ready.reject(new Error(`the agent ended before it was ready: ${observation.stderrTail}`))
    }
    this.#observed.add(listener)
    this.#host.apply({ kind: 'spawn', ...subject, pool: name })
    return ready.promise
  }
}

interface Member {
  readonly pid: number
  end(): Promise<void>
}

/**
 * The floor: the same version of Node with the same pipes and its own process group, that opens the channel and says a
 * line. Without setpriv, user id, folders and flags of ours: these are what a replica is charged for.
 */
function spawnBare(folder: string): ChildProcess {
  const script = fileURLToPath(new URL('agents/bare.mjs', import.meta.url))
  return spawn(process.execPath, [script], {
    detached: true,
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: {},
  })
}

async function bareStartMs(folder: string): Promise<number> {
  const startMs = performance.now()
  const child = spawnBare(folder)
  await spoken(child)
  const ms = performance.now() - startMs
  await killed(child)
  return ms
}

async function bareGroup(folder: string): Promise<readonly Member[]> {
  const children = Array.from({ length: idleProcesses }, () => spawnBare(folder))
  await Promise.all(children.map(spoken))
  return children.map((child) => ({ pid: child.pid ?? 0, end: () => killed(child) }))
}

function spoken(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', () => reject(new Error('the bare process ended before it spoke')))
    child.stdio[3]?.on('error', () => undefined) // It is killed while we read.
    child.stdio[3]?.once('data', () => resolve())
  })
}

function killed(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
}

interface Memory {
  readonly pssMiB: number
  readonly rssMiB: number
}

/** What each process holds once two readings agree. Ends them. */
async function idleOf(members: readonly Member[]): Promise<readonly Memory[]> {
  let readings: readonly Memory[] = []
  await waitFor(async () => {
    const before = readings
    await new Promise((resolve) => setTimeout(resolve, readingEveryMs))
    readings = await Promise.all(members.map(({ pid }) => memoryOf(pid)))
    return readings.every(({ pssMiB }, at) => Math.abs(pssMiB - (before[at]?.pssMiB ?? 0)) <= agreementMiB)
  }, 'the memory of idle processes to settle')
  await Promise.all(members.map((member) => member.end()))
  return readings
}

async function memoryOf(pid: number): Promise<Memory> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'latin1')
  const of = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024
  return { pssMiB: of('Pss'), rssMiB: of('Rss') }
}
