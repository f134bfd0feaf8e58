import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { PoolName, ReplicaName } from '../../model/ids.ts'
import { limits } from '../../model/limits.ts'
import type { PoolSpec } from '../../model/pool.ts'
import { createRedact } from '../../model/redact.ts'
import type { Clock } from '../../port/clock.ts'
import type { Inbox } from '../../port/inbox.ts'
import type { Launch, LaunchEvents, Launched, Launcher } from '../../port/launcher.ts'
import type { Log } from '../../port/log.ts'
import type { HostEffect, LogLine, ProcessHost } from '../../port/process-host.ts'
import type { Saboteur } from '../../port/saboteur.ts'
import { BareReplica } from './bare.ts'
import { secretValues } from './environment.ts'
import { FramedReplica } from './framed.ts'
import { Launches } from './launch.ts'
import { createMachine, type Machine } from './machine.ts'
import { enforceMemory, type MemorySubject, reportMemory } from './memory.ts'
import type { Replica, ReplicaHooks } from './replica.ts'
import { Sabotage } from './sabotage.ts'
import { ownBootFile } from './strip.ts'

export interface ProcessHostOptions {
  readonly inbox: Inbox
  readonly clock: Clock
  readonly log: Log
  readonly pools: readonly PoolSpec[]
  /** Folder of the configuration. */
  readonly root: string
  /** Folders of replicas and stripped agents; made when it is not there. Other users must be able to pass it. */
  readonly workFolder: string
  /** From the store: names our replicas to the supervisor after us. */
  readonly storeId: string
  /** Values that must not appear in captured output. */
  readonly secrets: readonly string[]
  /** User ids of their own for replicas, when we are root. Default true. */
  readonly wantUsers?: boolean
  /** Limits of memory and processes by the kernel, where it can. Default true. */
  readonly wantGroups?: boolean
  /** What starts a module agent. Default: the host in `src/agent`. */
  readonly bootFile?: string
  /** Whether its replicas may be broken on purpose. Default false. */
  readonly chaos?: boolean
}

const orphanBoundMs = 2_000
const closeBoundMs = 4_000
const reportMemoryEverySeconds = 2

export function createProcessHost(options: ProcessHostOptions): ProcessHost & Saboteur & Launcher {
  return new Host(options)
}

class Host implements ProcessHost, Saboteur, Launcher {
  readonly #options: ProcessHostOptions
  readonly #machine: Machine
  readonly #pools: ReadonlyMap<PoolName, PoolSpec>
  readonly #redact: (text: string) => string
  /** The newest incarnation of each replica. */
  readonly #replicas = new Map<ReplicaName, Replica>()
  /** Incarnations that were replaced before their process was gone. */
  readonly #corpses = new Set<Replica>()
  /** Only grows: a spawn that is carried out twice, or late, starts nothing. */
  readonly #incarnations = new Map<ReplicaName, number>()
  /** Dead replicas whose leftovers are still being swept. */
  readonly #sweeps = new Set<Promise<void>>()
  readonly #unkillable = new Map<Replica, string>()
  readonly #logs = new Map<ReplicaName, LogLine[]>()
  readonly #sabotage: Sabotage
  readonly #launches: Launches
  readonly #timer: NodeJS.Timeout
  #seconds = 0
  #isLookingAtMemory = false
  #isClosed = false

  constructor(options: ProcessHostOptions) {
    const { inbox, pools, secrets } = options
    this.#options = options
    this.#machine = createMachine({
      ...options,
      life: randomBytes(4).toString('hex'),
      wantUsers: options.wantUsers ?? true,
      wantGroups: options.wantGroups ?? true,
      limitsMemory: pools.some(({ memoryBytes }) => memoryBytes !== null),
      bootFile: options.bootFile ?? ownBootFile,
      chaos: options.chaos ?? false,
    })
    mkdirSync(this.#machine.runFolder, { recursive: true, mode: 0o711 })
    this.#pools = new Map(pools.map((pool) => [pool.name, pool]))
    this.#redact = createRedact([
      ...secrets,
      ...pools.flatMap(({ environment }) => secretValues(environment.pass, environment.set)),
    ])
    this.#sabotage = new Sabotage(options.clock, (name) => this.#replicas.get(name))
    this.#launches = new Launches(this.#machine)
    inbox.onDrain(() => {
      for (const replica of this.#replicas.values()) replica.resume()
    })
    this.#timer = setInterval(() => this.#everySecond(), 1_000)
  }

  get blindSpots(): readonly string[] {
    return [...this.#machine.blindSpots, ...this.#unkillable.values()]
  }

  apply(effect: HostEffect): void {
    if (effect.kind === 'spawn') return this.#spawn(effect)
    const replica = this.#replicas.get(effect.replica)
    if (replica?.incarnation !== effect.incarnation) return
    if (effect.kind === 'dispatch') this.#sabotage.dispatching(effect, replica)
    replica.apply(effect)
  }

  strike(...order: Parameters<Saboteur['strike']>): void {
    this.#sabotage.strike(...order)
  }

  outage(dependency: string, forMs: number): void {
    this.#sabotage.outage(dependency, forMs)
    for (const replica of this.#replicas.values()) replica.sabotage({ type: 'outage', dependency, forMs })
  }

  launch(what: Launch, events: LaunchEvents): Launched {
    return this.#launches.launch(what, events)
  }

  logs(replica: ReplicaName): readonly LogLine[] {
    return this.#logs.get(replica) ?? []
  }

  async killOrphans(records: Parameters<ProcessHost['killOrphans']>[0]): ReturnType<ProcessHost['killOrphans']> {
    const { sweeper, storePrefix, lifePrefix, runFolder } = this.#machine
    const known = new Map(
      records.flatMap(({ pid, startTicks }) => (pid === null || startTicks === null ? [] : [[pid, startTicks]])),
    )
    const result = await sweeper.sweep(({ stat, marker }) => {
      // The same process id with another start time is somebody else.
      if (known.get(stat.pid) === stat.startTicks) return true
      const name = marker()
      return name?.startsWith(storePrefix) === true && !name.startsWith(lifePrefix)
    }, orphanBoundMs)
    // Their folders, too; ours are made later.
    for (const name of await readdir(runFolder)) {
      if (!this.#isRunning(name)) await rm(join(runFolder, name), { recursive: true, force: true })
    }
    return result
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    const closing = Promise.all([
      this.#launches.close(),
      ...this.#sweeps,
      ...[...this.#replicas.values(), ...this.#corpses].map((replica) => replica.close()),
    ])
    const bound = Promise.withResolvers<void>()
    const timer = setTimeout(bound.resolve, closeBoundMs)
    await Promise.race([closing, bound.promise])
    clearTimeout(timer)
  }

  #spawn({ replica: name, incarnation, pool: poolName }: Extract<HostEffect, { readonly kind: 'spawn' }>): void {
    const pool = this.#pools.get(poolName)
    if (pool === undefined || this.#isClosed || incarnation <= (this.#incarnations.get(name) ?? -1)) return
    this.#incarnations.set(name, incarnation)
    const before = this.#replicas.get(name)
    if (before !== undefined) this.#corpses.add(before) // Unkillable: the decision was to go on without its exit.
    const { inbox } = this.#options
    const subject = { replica: name, incarnation }
    const hooks: ReplicaHooks = {
      log: (stream, text) => this.#log(name, stream, text),
      unkillable: (pid) =>
        this.#unkillable.set(replica, `Process ${pid} of ${name} does not die: its file system or a device hangs.`),
      gone: () => {
        this.#corpses.delete(replica)
        this.#unkillable.delete(replica)
        if (this.#replicas.get(name) === replica) this.#replicas.delete(name)
        const swept = replica.close()
        this.#sweeps.add(swept)
        void swept.then(() => this.#sweeps.delete(swept))
      },
    }
    const isBare = pool.agent.kind === 'command' && pool.agent.protocol === 'none'
    const about = { machine: this.#machine, inbox, redact: this.#redact, pool, subject, hooks }
    const replica: Replica = isBare ? new BareReplica(about) : new FramedReplica(about)
    this.#replicas.set(name, replica)
  }

  #isRunning(folder: string): boolean {
    return [...this.#replicas].some(([name, { incarnation }]) =>
      folder.startsWith(`${name.replace('/', '-')}.${incarnation}`),
    )
  }

  #log(replica: ReplicaName, stream: LogLine['stream'], text: string): void {
    const lines = this.#logs.get(replica) ?? []
    lines.push({ atMs: this.#options.clock.nowMs(), stream, text })
    // In blocks: removing one at a time from the front costs a move of all.
    if (lines.length > limits.logLinesPerReplica * 1.1) lines.splice(0, lines.length - limits.logLinesPerReplica)
    this.#logs.set(replica, lines)
  }

  #everySecond(): void {
    this.#seconds += 1
    for (const replica of this.#replicas.values()) replica.everySecond()
    void this.#lookAtMemory()
  }

  async #lookAtMemory(): Promise<void> {
    if (this.#isLookingAtMemory) return
    this.#isLookingAtMemory = true
    const subjects = [...this.#replicas].map(([replica, running]): MemorySubject => {
      const pool = this.#pools.get(replica.slice(0, replica.lastIndexOf('/')))
      const subject = { replica, incarnation: running.incarnation }
      return { subject, limitBytes: pool?.memoryBytes ?? null, processes: running.processes() }
    })
    await enforceMemory(subjects)
    if (this.#seconds % reportMemoryEverySeconds === 0)
      await reportMemory(subjects, this.#options.inbox, this.#options.clock)
    this.#isLookingAtMemory = false
  }
}
