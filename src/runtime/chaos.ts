import { type ChaosFault, type ChaosRequest, type ChaosStrike, chaosTable, type Injection } from '../model/chaos.ts'
import { PrunellaError } from '../model/errors.ts'
import { type PoolName, parseReplicaName, type ReplicaName } from '../model/ids.ts'
import type { Incident } from '../model/incident.ts'
import { limits } from '../model/limits.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { ReplicaRow } from '../model/rows.ts'
import type { Clock } from '../port/clock.ts'
import type { Random } from '../port/random.ts'
import type { Saboteur } from '../port/saboteur.ts'
import type { Store } from '../port/store.ts'
import type { Probing } from './probing.ts'
import type { Tables } from './tables.ts'

/** An incident that begins so long after a strike is another matter, ms. */
const aftermathMs = 120_000

export interface ChaosParts {
  readonly tables: Tables
  readonly clock: Clock
  readonly random: Random
  readonly store: Store
  readonly probing: Pick<Probing, 'fail'>
  /** Null: this node was not started with `--chaos`. */
  readonly saboteur: Saboteur | null
}

/** Injects faults into what this node runs. It tells the tick nothing: what strikes has to be noticed. */
export class Chaos {
  private readonly parts: ChaosParts
  private injected: Injection[] = []

  constructor(parts: ChaosParts) {
    this.parts = parts
  }

  list(): readonly Injection[] {
    this.saboteur()
    return this.injected
  }

  async inject(request: ChaosRequest, who: string): Promise<Injection> {
    const saboteur = this.saboteur()
    const { clock, random, store, probing } = this.parts
    const { fault, reason } = request
    const spec = this.poolOf(request)
    this.check(fault, spec)
    const isOutage = chaosTable[fault].place === 'dependency'
    const dependency = isOutage ? this.dependencyOf(request, spec) : null
    const replica = isOutage ? null : this.victim(request, spec.name).name
    const atMs = clock.nowMs()
    const forMs = request.forMs ?? chaosTable[fault].forMs
    const id = random.id('x')
    const injection: Injection = {
      ...{ id, fault, pool: spec.name, replica, dependency, who, atMs, forMs },
      strikes: [],
    }
    const note = { who, what: `chaos ${fault}`, target: replica ?? dependency ?? spec.name, reason }
    await store.commit({ nowMs: atMs, decisions: [[{ kind: 'audit', atMs, ...note }]], claims: [] })
    this.injected = [...this.injected, injection].slice(-limits.injectionsKept)
    const lastsMs = forMs ?? 0
    if (dependency !== null) {
      probing.fail(dependency, clock.nowMs() + lastsMs)
      saboteur.outage(dependency, lastsMs)
      this.struck(id, { atMs: clock.nowMs(), replica: null, incarnation: null, taskId: null })
    }
    if (replica !== null)
      saboteur.strike({ fault, replica, forMs: lastsMs, memoryBytes: spec.memoryBytes ?? 0 }, (strike) =>
        this.struck(id, strike),
      )
    return this.injected.find((one) => one.id === id) ?? injection
  }

  private struck(id: string, strike: ChaosStrike): void {
    this.injected = this.injected.map((one) => (one.id === id ? { ...one, strikes: [...one.strikes, strike] } : one))
  }

  /** The injected fault behind an incident, or null. */
  behind({ replica, taskId, dependency, detectedMs }: Incident): Injection | null {
    const hit = (one: Injection): boolean =>
      one.strikes.some((strike) => {
        const isAfter = strike.atMs <= detectedMs && detectedMs - strike.atMs < aftermathMs
        const isSame = replica === null ? taskId !== null && strike.taskId === taskId : strike.replica === replica
        return isAfter && (isSame || (dependency !== null && one.dependency === dependency))
      })
    return this.injected.findLast(hit) ?? null
  }

  private saboteur(): Saboteur {
    if (this.parts.saboteur !== null) return this.parts.saboteur
    throw new PrunellaError(
      'PRUNELLA_FORBIDDEN',
      'This node injects no faults. Start it with `prunella up --chaos`, and never where real work is at stake.',
    )
  }

  private poolOf({ pool, replica }: ChaosRequest): PoolSpec {
    const { specs } = this.parts.tables
    const name = replica === undefined ? pool : parseReplicaName(replica)?.pool
    const spec = name === undefined ? undefined : specs.get(name)
    if (spec !== undefined && (pool === undefined || pool === name)) return spec
    const known = [...specs.keys()].join(', ')
    throw new PrunellaError('PRUNELLA_NOT_FOUND', `There is no pool ${JSON.stringify(name ?? pool)}. Pools: ${known}.`)
  }

  /** @throws PrunellaError INVALID when this pool cannot have this fault, saying why. */
  private check(fault: ChaosFault, { name, agent, memoryBytes }: PoolSpec): void {
    const { place, needsMemoryLimit } = chaosTable[fault]
    const refuse = (why: string): never => {
      throw new PrunellaError('PRUNELLA_INVALID', `Pool ${name} cannot have ${fault}: ${why}.`)
    }
    if (place === 'agent' && agent.kind !== 'module')
      refuse('its agent is a command, and only the host of a module agent misbehaves on request')
    if (needsMemoryLimit && memoryBytes === null) refuse('without limits.memory it would hurt the whole machine')
  }

  private dependencyOf({ dependency }: ChaosRequest, { name, dependsOn }: PoolSpec): string {
    const { dependencies } = this.parts.tables
    const wanted = dependency ?? dependsOn.find((one) => dependencies.has(one))
    if (wanted === undefined)
      throw new PrunellaError(
        'PRUNELLA_INVALID',
        `Pool ${name} cannot have outage: it depends on nothing that is checked.`,
      )
    if (!dependencies.has(wanted))
      throw new PrunellaError('PRUNELLA_NOT_FOUND', `There is no dependency ${JSON.stringify(wanted)}.`)
    return wanted
  }

  /** The one that is named; else, of those that are ready, one with a task in hand, and of these the one struck longest ago. */
  private victim({ replica }: ChaosRequest, pool: PoolName): ReplicaRow {
    const { tables } = this.parts
    if (replica !== undefined && !tables.replicas.has(replica))
      throw new PrunellaError('PRUNELLA_NOT_FOUND', `There is no replica ${replica}.`)
    const isReady = ({ phase, name }: ReplicaRow): boolean =>
      phase.kind === 'ready' && (replica === undefined || name === replica)
    const last = (name: ReplicaName): number => this.injected.findLastIndex((one) => one.replica === name)
    const busy = (name: ReplicaName): number => Math.min(1, tables.inHand(name))
    const [victim] = tables
      .replicasOf(pool)
      .filter(isReady)
      .toSorted((a, b) => busy(b.name) - busy(a.name) || last(a.name) - last(b.name))
    if (victim !== undefined) return victim
    const who = replica === undefined ? `No replica of pool ${pool} is` : `${replica} is not`
    throw new PrunellaError('PRUNELLA_CONFLICT', `${who} ready now. Wait until it is.`)
  }
}
