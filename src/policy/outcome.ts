import type { Change } from '../model/change.ts'
import type { Effect } from '../model/effect.ts'
import type { Notice } from '../model/event.ts'
import type { IncidentId, ReplicaName, TaskId } from '../model/ids.ts'
import type { Incident } from '../model/incident.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow, DependencyRow, PoolRow, ReplicaRow } from '../model/rows.ts'
import type { Dependencies } from './hold.ts'
import type { Gauges, Watch } from './watch.ts'

/** What one transaction carries, and what follows from it once it is durable. */
export interface Decision {
  readonly changes: readonly Change[]
  /** Carried out after the commit, never before. */
  readonly effects: readonly Effect[]
  /** Carried out instead when the store refused the decision. */
  readonly refused: readonly Effect[]
  readonly notices: readonly Notice[]
}

/** What a policy function answers: the rows as they are from now on, and the decisions. */
export interface Outcome {
  readonly replicas: ReplicaRow[]
  readonly removed: ReplicaName[]
  readonly attempts: AttemptRow[]
  readonly ended: TaskId[]
  readonly pool: PoolRow | null
  readonly dependencies: DependencyRow[]
  readonly watches: Watch[]
  readonly gauges: readonly (readonly [ReplicaName, Gauges])[]
  readonly incidents: Incident[]
  readonly decisions: Decision[]
}

/** One replica with everything a decision about it may look at. */
export interface View {
  readonly nowMs: number
  readonly spec: PoolSpec
  readonly pool: PoolRow
  readonly replica: ReplicaRow
  /** In the order of dispatch. */
  readonly attempts: readonly AttemptRow[]
  /** Of the whole pool. */
  readonly poolAttempts: readonly AttemptRow[]
  /** Its open incident. */
  readonly incident: Incident | null
  /** Every incident of the node that is not closed. */
  readonly incidents: ReadonlyMap<IncidentId, Incident>
  /** The other replicas of the pool. */
  readonly siblings: readonly ReplicaRow[]
  /** What replicas share, with the breakers that guard it. */
  readonly dependencies: Dependencies
  /** What the detectors remember of the attempts in hand, and of this process. */
  readonly watches: ReadonlyMap<TaskId, Watch>
  readonly gauges: Gauges | null
  /** The supervisor's own recent delay: every threshold is stretched by it. */
  readonly lagMs: number
  readonly shuttingDown: boolean
}

/** The same view with another version of the row. Field by field: a view may have getters, which a spread would lose. */
export function withReplica(view: View, replica: ReplicaRow): View {
  const { nowMs, spec, pool, attempts, poolAttempts, incident, incidents, siblings, dependencies } = view
  const { watches, gauges, lagMs, shuttingDown } = view
  const looked = { attempts, poolAttempts, incident, incidents, siblings, dependencies, watches, gauges }
  return { nowMs, spec, pool, replica, ...looked, lagMs, shuttingDown }
}

/** Collects one outcome; lives inside one call of a policy function. */
export class Draft {
  readonly replicas = new Map<ReplicaName, ReplicaRow>()
  readonly removed: ReplicaName[] = []
  readonly attempts = new Map<TaskId, AttemptRow>()
  readonly ended: TaskId[] = []
  pool: PoolRow | null = null
  readonly dependencies = new Map<string, DependencyRow>()
  readonly watches = new Map<TaskId, Watch>()
  private readonly gauges = new Map<ReplicaName, Gauges>()
  readonly incidents = new Map<string, Incident>()
  private changes: Change[] = []
  private effects: Effect[] = []
  private notices: Notice[] = []

  /** The newest version of a row: what this draft made of it, or what it was. */
  replica(row: ReplicaRow): ReplicaRow {
    return this.replicas.get(row.name) ?? row
  }

  setReplica(row: ReplicaRow): void {
    this.replicas.set(row.name, row)
  }

  attempt(row: AttemptRow): AttemptRow {
    return this.attempts.get(row.taskId) ?? row
  }

  setAttempt(row: AttemptRow): void {
    this.attempts.set(row.taskId, row)
  }

  endAttempt(taskId: TaskId): void {
    this.attempts.delete(taskId)
    this.ended.push(taskId)
  }

  setDependency(row: DependencyRow): void {
    this.dependencies.set(row.spec.name, row)
  }

  setWatch(watch: Watch): void {
    this.watches.set(watch.taskId, watch)
  }

  setGauges(replica: ReplicaName, gauges: Gauges): void {
    this.gauges.set(replica, gauges)
  }

  setIncident(incident: Incident): void {
    this.incidents.set(incident.id, incident)
  }

  change(...changes: readonly Change[]): void {
    this.changes.push(...changes)
  }

  effect(...effects: readonly Effect[]): void {
    this.effects.push(...effects)
  }

  notice(...notices: readonly Notice[]): void {
    this.notices.push(...notices)
  }

  /** Everything collected, as one decision (one transaction). */
  finish(refused: readonly Effect[] = []): Outcome {
    const something = this.changes.length + this.effects.length + this.notices.length + refused.length > 0
    const decision = { changes: this.changes, effects: this.effects, refused, notices: this.notices }
    return {
      replicas: [...this.replicas.values()],
      removed: this.removed,
      attempts: [...this.attempts.values()],
      ended: this.ended,
      pool: this.pool,
      dependencies: [...this.dependencies.values()],
      watches: [...this.watches.values()],
      gauges: [...this.gauges],
      incidents: [...this.incidents.values()],
      decisions: something ? [decision] : [],
    }
  }
}
