import type { QueueDepth } from '../model/change.ts'
import type { IncidentId, PoolName, ReplicaName, TaskId } from '../model/ids.ts'
import type { Incident } from '../model/incident.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow, DependencyRow, PoolRow, ReplicaRow } from '../model/rows.ts'
import type { Dependencies } from '../policy/hold.ts'
import type { Outcome, View } from '../policy/outcome.ts'
import type { TakenOver } from '../policy/takeover.ts'
import type { Gauges, Watch } from '../policy/watch.ts'

const noAttempts: readonly AttemptRow[] = []

/** Everything the supervisor holds in memory. The tick is its only writer. */
export class Tables {
  readonly specs: ReadonlyMap<PoolName, PoolSpec>
  readonly pools = new Map<PoolName, PoolRow>()
  readonly replicas = new Map<ReplicaName, ReplicaRow>()
  readonly incidents = new Map<IncidentId, Incident>()
  readonly dependencies = new Map<string, DependencyRow>()
  readonly watches = new Map<TaskId, Watch>()
  readonly gauges = new Map<ReplicaName, Gauges>()
  private readonly members = new Map<PoolName, Map<ReplicaName, ReplicaRow>>()
  private readonly hands = new Map<ReplicaName, Map<TaskId, AttemptRow>>()
  private readonly holders = new Map<TaskId, ReplicaName>()
  /** When each replica next wants to be decided about. */
  readonly wakesMs = new Map<ReplicaName, number>()
  /** Pools whose size or dispatch may have to change. */
  readonly dirtyPools = new Set<PoolName>()
  shuttingDown = false

  constructor(specs: readonly PoolSpec[]) {
    this.specs = new Map(specs.map((spec) => [spec.name, spec]))
    for (const spec of specs) this.members.set(spec.name, new Map())
  }

  /** What the supervisor before us left becomes ours. */
  takeOver(left: TakenOver, depths: Readonly<Record<PoolName, QueueDepth>>): void {
    for (const pool of left.pools) this.pools.set(pool.name, { ...pool, depth: depths[pool.name] ?? pool.depth })
    for (const row of left.replicas) this.setReplica(row)
    for (const incident of left.incidents) this.incidents.set(incident.id, incident)
    for (const name of this.pools.keys()) this.dirtyPools.add(name)
  }

  attemptsOf(replica: ReplicaName): readonly AttemptRow[] {
    const hand = this.hands.get(replica)
    return hand === undefined || hand.size === 0 ? noAttempts : [...hand.values()]
  }

  inHand(replica: ReplicaName): number {
    return this.hands.get(replica)?.size ?? 0
  }

  attempt(taskId: TaskId): AttemptRow | undefined {
    const holder = this.holders.get(taskId)
    return holder === undefined ? undefined : this.hands.get(holder)?.get(taskId)
  }

  get attemptCount(): number {
    return this.holders.size
  }

  replicasOf(pool: PoolName): readonly ReplicaRow[] {
    return [...(this.members.get(pool)?.values() ?? [])]
  }

  setReplica(row: ReplicaRow): void {
    this.replicas.set(row.name, row)
    this.members.get(row.pool)?.set(row.name, row)
  }

  setAttempt(row: AttemptRow): void {
    let hand = this.hands.get(row.replica)
    if (hand === undefined) {
      hand = new Map()
      this.hands.set(row.replica, hand)
    }
    hand.set(row.taskId, row)
    this.holders.set(row.taskId, row.replica)
  }

  endAttempt(taskId: TaskId): void {
    const holder = this.holders.get(taskId)
    if (holder === undefined) return
    this.hands.get(holder)?.delete(taskId)
    this.holders.delete(taskId)
    this.watches.delete(taskId)
  }

  /** What a decision about one replica may look at. */
  view(row: ReplicaRow, nowMs: number, lagMs: number): View {
    const spec = this.specs.get(row.pool)
    const pool = this.pools.get(row.pool)
    if (spec === undefined || pool === undefined) throw new Error(`Invariant broken: ${row.name} belongs to no pool`)
    return new TableView(this, row, spec, pool, nowMs, lagMs)
  }

  /** Takes over the rows of an outcome. Its decisions are the caller's. */
  apply(outcome: Outcome): void {
    for (const row of outcome.replicas) {
      const before = this.replicas.get(row.name)
      if (before === undefined || before.phase !== row.phase || before.readiness !== row.readiness)
        this.dirtyPools.add(row.pool)
      this.setReplica(row)
      this.wakesMs.set(row.name, Number.NEGATIVE_INFINITY)
    }
    for (const row of outcome.attempts) {
      this.setAttempt(row)
      this.wakesMs.set(row.replica, Number.NEGATIVE_INFINITY)
    }
    for (const taskId of outcome.ended) {
      const holder = this.holders.get(taskId)
      if (holder !== undefined) this.dirtyPools.add(this.replicas.get(holder)?.pool ?? '')
      this.endAttempt(taskId)
    }
    if (outcome.pool !== null) {
      const before = this.pools.get(outcome.pool.name)
      if (before?.hold !== outcome.pool.hold || before.wanted !== outcome.pool.wanted)
        this.dirtyPools.add(outcome.pool.name)
      this.pools.set(outcome.pool.name, outcome.pool)
    }
    for (const watch of outcome.watches) if (this.holders.has(watch.taskId)) this.watches.set(watch.taskId, watch)
    for (const [name, gauges] of outcome.gauges) this.gauges.set(name, gauges)
    for (const row of outcome.dependencies) this.dependencies.set(row.spec.name, row)
    for (const incident of outcome.incidents) {
      if (incident.status === 'closed') this.incidents.delete(incident.id)
      else this.incidents.set(incident.id, incident)
    }
    for (const name of outcome.removed) this.remove(name)
  }

  private remove(name: ReplicaName): void {
    const row = this.replicas.get(name)
    if (row === undefined) return
    this.replicas.delete(name)
    this.members.get(row.pool)?.delete(name)
    this.wakesMs.delete(name)
    this.gauges.delete(name)
    this.dirtyPools.add(row.pool)
  }
}

/** A class, because a literal with getters costs more than most decisions. What few look at is looked up when asked for. */
class TableView implements View {
  readonly nowMs: number
  readonly spec: PoolSpec
  readonly pool: PoolRow
  readonly replica: ReplicaRow
  readonly lagMs: number
  private readonly tables: Tables
  private hand: readonly AttemptRow[] | null = null

  constructor(tables: Tables, replica: ReplicaRow, spec: PoolSpec, pool: PoolRow, nowMs: number, lagMs: number) {
    this.tables = tables
    this.replica = replica
    this.spec = spec
    this.pool = pool
    this.nowMs = nowMs
    this.lagMs = lagMs
  }

  get attempts(): readonly AttemptRow[] {
    this.hand ??= this.tables.attemptsOf(this.replica.name)
    return this.hand
  }

  get poolAttempts(): readonly AttemptRow[] {
    return this.tables.replicasOf(this.replica.pool).flatMap(({ name }) => this.tables.attemptsOf(name))
  }

  get incident(): Incident | null {
    const { incidentId } = this.replica
    return incidentId === null ? null : (this.tables.incidents.get(incidentId) ?? null)
  }

  get incidents(): ReadonlyMap<IncidentId, Incident> {
    return this.tables.incidents
  }

  get watches(): ReadonlyMap<TaskId, Watch> {
    return this.tables.watches
  }

  get gauges(): Gauges | null {
    return this.tables.gauges.get(this.replica.name) ?? null
  }

  get dependencies(): Dependencies {
    return this.tables.dependencies
  }

  get siblings(): readonly ReplicaRow[] {
    const { name, pool } = this.replica
    return this.tables.replicasOf(pool).filter((other) => other.name !== name)
  }

  get shuttingDown(): boolean {
    return this.tables.shuttingDown
  }
}
