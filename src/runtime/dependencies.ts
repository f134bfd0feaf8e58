import type { DependencyRecord } from '../model/change.ts'
import type { PoolName, ReplicaName } from '../model/ids.ts'
import type { AttemptObservation, NodeObservation, OperatorRequest } from '../model/observation.ts'
import type { DependencySpec } from '../model/probe.ts'
import type { AttemptRow, DependencyRow, PoolRow } from '../model/rows.ts'
import type { DependencyView } from '../model/snapshot.ts'
import { isDown, newDependency, reasonOf, restored, withoutWitness } from '../policy/breaker.ts'
import {
  type DependencyOutcome,
  decideDependency,
  onChecked,
  onForced,
  onSighting,
  suspect,
  type DependencyView as View,
} from '../policy/dependency.ts'
import { anyDependency, sightingOf } from '../policy/evidence.ts'
import { canTake, heldOnlyBy, holdingDependency, triedDependency } from '../policy/hold.ts'
import type { Outcome } from '../policy/outcome.ts'
import { onBack, onDown, type PoolView } from '../policy/pool-turn.ts'
import type { Tables } from './tables.ts'

/** Takes an outcome over at once: the next one is decided on what it made of the rows. */
type Take = (outcome: Outcome) => void

/** What replicas share: one row each in the tables, and when each next has something to decide. */
export class Dependencies {
  private readonly tables: Tables
  private readonly take: Take
  private readonly wakesMs = new Map<string, number>()

  constructor(tables: Tables, take: Take) {
    this.tables = tables
    this.take = take
  }

  /** Call once, before the first turn. */
  begin(specs: readonly DependencySpec[], left: readonly DependencyRecord[], nowMs: number): void {
    for (const spec of specs) {
      const record = left.find(({ dependency }) => dependency === spec.name)
      const row = newDependency(spec, nowMs)
      this.tables.dependencies.set(spec.name, record === undefined ? row : restored(row, record, nowMs))
    }
    for (const row of this.tables.dependencies.values()) if (isDown(row)) this.turned('opened', row, null, nowMs)
  }

  /** By our own time, not that of the answer: a ramp that began while we were busy would be half over. */
  checked(
    { dependency: name, result, latencyMs }: Extract<NodeObservation, { kind: 'dependency_checked' }>,
    nowMs: number,
  ): void {
    const row = this.tables.dependencies.get(name)
    if (row === undefined) return
    const canTry = this.takersOf(name).length > 0
    this.follow(row, onChecked(this.view(row, nowMs), result, latencyMs, canTry), nowMs)
  }

  /** What an attempt's news says about what it uses. Before anybody is judged by it. */
  sighted(observation: AttemptObservation, attempt: AttemptRow, nowMs: number): void {
    if (observation.kind === 'done') return this.completed(attempt, nowMs)
    const seen = sightingOf(observation, attempt)
    if (seen === null) return
    if (seen.dependency !== anyDependency) {
      const row = this.tables.dependencies.get(seen.dependency)
      if (row === undefined) return
      const call = 'call' in observation ? attempt.calls.find((open) => open.call === observation.call) : undefined
      return this.saw(row, attempt, seen.ok, call?.sinceMs ?? attempt.dispatchedMs, nowMs)
    }
    for (const name of [...(this.tables.specs.get(attempt.pool)?.dependsOn ?? []), ...attempt.needs]) {
      const row = this.tables.dependencies.get(name)
      if (row === undefined || isDown(row)) continue
      this.take(suspect(this.view(row, nowMs)))
      this.wakesMs.set(name, Number.NEGATIVE_INFINITY)
    }
  }

  private saw(row: DependencyRow, { replica, taskId }: AttemptRow, ok: boolean, begunMs: number, nowMs: number): void {
    const sighting = { replica, taskId, ok, atMs: nowMs, begunMs }
    this.follow(row, onSighting(this.view(row, nowMs), sighting), nowMs)
  }

  /** A trial that completes got through, also where its calls do not name what they use. */
  private completed(attempt: AttemptRow, nowMs: number): void {
    const spec = this.tables.specs.get(attempt.pool)
    if (spec === undefined || this.tables.pools.get(attempt.pool)?.notReady === null) return
    const row = triedDependency(spec, this.tables.dependencies)
    if (row !== null) this.saw(row, attempt, true, attempt.dispatchedMs, nowMs)
  }

  /** A new process has connections of its own: those of the last one accuse it of nothing. */
  renewed(replica: ReplicaName): void {
    const { dependencies } = this.tables
    for (const [name, row] of dependencies)
      if (replica in row.witnesses) dependencies.set(name, withoutWitness(row, replica))
  }

  /** A person lets a pool go whatever holds it. Returns what held it, by name. */
  force(pool: PoolName, request: OperatorRequest, nowMs: number): readonly string[] {
    const spec = this.tables.specs.get(pool)
    const names: string[] = []
    for (;;) {
      const row = spec === undefined ? null : holdingDependency(spec, this.tables.dependencies)
      if (row === null) return names
      names.push(row.spec.name)
      this.follow(row, onForced(this.view(row, nowMs), request), nowMs)
    }
  }

  decide(nowMs: number, lagMs: number): void {
    for (const name of this.tables.dependencies.keys()) {
      while ((this.wakesMs.get(name) ?? Number.NEGATIVE_INFINITY) <= nowMs) {
        const row = this.tables.dependencies.get(name)
        if (row === undefined) break
        const decided = decideDependency(this.view(row, nowMs), lagMs)
        this.wakesMs.set(name, decided.wakeAtMs)
        if (decided.outcome === null) break
        this.follow(row, decided, nowMs)
      }
    }
  }

  get wakeAtMs(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.wakesMs.values())
  }

  /** The outage or return that an outcome brings reaches every pool in the same turn. */
  private follow(before: DependencyRow, { outcome, turn }: DependencyOutcome, nowMs: number): void {
    const { name } = before.spec
    this.take(outcome)
    this.wakesMs.set(name, Number.NEGATIVE_INFINITY)
    const row = this.tables.dependencies.get(name)
    if (turn === 'trial') return this.grant(name, nowMs)
    if (turn !== null && row !== undefined) this.turned(turn, row, before, nowMs)
  }

  /** Pools that nothing but this dependency holds, with tasks that could try it; whose turn it is first. */
  private takersOf(name: string): readonly PoolRow[] {
    const { pools, specs, dependencies } = this.tables
    const takers: PoolRow[] = []
    for (const pool of pools.values()) {
      const spec = specs.get(pool.name)
      if (spec === undefined || heldOnlyBy(spec, dependencies)?.spec.name !== name) continue
      const inHand = this.tables.replicasOf(pool.name).reduce((sum, row) => sum + this.tables.inHand(row.name), 0)
      if (canTake(pool, inHand)) takers.push(pool)
    }
    return takers.toSorted((a, b) => (a.trial?.atMs ?? 0) - (b.trial?.atMs ?? 0))
  }

  /** One task for one answer of the check, of one pool after the other: what the one before has not used is void. */
  private grant(name: string, nowMs: number): void {
    const { pools, dirtyPools } = this.tables
    const [next, ...others] = this.takersOf(name)
    if (next === undefined) return
    for (const pool of others)
      if (pool.trial?.isOpen === true) pools.set(pool.name, { ...pool, trial: { ...pool.trial, isOpen: false } })
    pools.set(next.name, { ...next, trial: { atMs: nowMs, isOpen: true, replica: next.trial?.replica ?? null } })
    dirtyPools.add(next.name)
  }

  private turned(turn: 'opened' | 'closed', row: DependencyRow, before: DependencyRow | null, nowMs: number): void {
    const { tables } = this
    const held = new Map(tables.dependencies)
    if (before !== null) held.set(row.spec.name, before)
    for (const [name, pool] of tables.pools) {
      const spec = tables.specs.get(name)
      if (spec === undefined) continue
      const replicas = tables.replicasOf(name)
      const view: PoolView = {
        ...{ nowMs, spec, pool, replicas, incidents: tables.incidents, dependencies: tables.dependencies },
        attempts: replicas.flatMap((replica) => tables.attemptsOf(replica.name)),
      }
      this.take(turn === 'opened' ? onDown(view, row) : onBack(view, row, held))
      tables.dirtyPools.add(name)
    }
  }

  private view(row: DependencyRow, nowMs: number): View {
    return { nowMs, row, incidents: this.tables.incidents, poolNames: dependents(this.tables, row.spec.name) }
  }
}

function dependents(tables: Tables, name: string): readonly string[] {
  return [...tables.specs.values()].filter((pool) => pool.dependsOn.includes(name)).map((pool) => pool.name)
}

/** As doors see them. */
export function dependencyViews(tables: Tables): readonly DependencyView[] {
  return [...tables.dependencies.values()].map((row) => ({
    name: row.spec.name,
    role: row.spec.role,
    critical: row.spec.critical,
    up: isDown(row) ? false : row.last === null ? null : row.check.verdict !== 'failed',
    breaker: row.breaker.kind,
    sinceMs: row.breaker.sinceMs,
    reason: isDown(row) || row.last?.result.ok === false ? reasonOf(row) : null,
    checkedMs: row.last?.atMs ?? null,
    latencyMs: row.last?.latencyMs ?? null,
    pools: dependents(tables, row.spec.name),
  }))
}
