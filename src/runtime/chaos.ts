import { type ChaosFault, type ChaosRequest, chaosTable, type Injection } from '../model/chaos.ts'
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
import type { Tables } from './tables.ts'

/** An incident that begins so long after a strike is another matter, ms. */
const aftermathMs = 120_000

export interface ChaosParts {
  readonly tables: Tables
  readonly clock: Clock
  readonly random: Random
  readonly store: Store
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
    const { clock, random, store } = this.parts
    const { fault, reason } = request
    const spec = this.poolOf(request)
    this.check(fault, spec)
    const replica = this.victim(request, spec.name).name
    const atMs = clock.nowMs()
    const forMs = request.forMs ?? chaosTable[fault].forMs
    const facts = { fault, pool: spec.name, replica, dependency: null, who, forMs }
    const injection: Injection = { id: random.id('x'), ...facts, atMs, strikes: [] }
    const note = { who, what: `chaos ${fault}`, target: replica, reason }
    await store.commit({ nowMs: atMs, decisions: [[{ kind: 'audit', atMs, ...note }]], claims: [] })
    this.injected = [...this.injected, injection].slice(-limits.injectionsKept)
    saboteur.strike({ fault, replica, forMs: forMs ?? 0, memoryBytes: spec.memoryBytes ?? 0 }, (strike) => {
      this.injected = this.injected.map((one) =>
        one.id === injection.id ? { ...one, strikes: [...one.strikes, strike] } : one,
      )
    })
    return this.injected.find(({ id }) => id === injection.id) ?? injection
  }

  /** The injected fault behind an incident, or null. */
  behind({ replica, detectedMs }: Pick<Incident, 'replica' | 'detectedMs'>): Injection | null {
    const hit = (one: Injection): boolean =>
      one.strikes.some(
        (strike) => strike.replica === replica && strike.atMs <= detectedMs && detectedMs - strike.atMs < aftermathMs,
      )
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
