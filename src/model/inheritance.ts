import type { DependencyRecord, PoolRecord, ReplicaRecord } from './change.ts'
import type { PoolName, ReplicaName, TaskId } from './ids.ts'
import type { Incident } from './incident.ts'
import type { Told } from './notification.ts'
import type { Spent } from './spent.ts'

/** A lease of the supervisor before us, taken back: its fence is raised, its status `returning`. */
export interface InheritedLease {
  readonly taskId: TaskId
  readonly pool: PoolName
  readonly replica: ReplicaName
  readonly incarnation: number
  /** The raised fence: `end_attempt` uses this one. */
  readonly fence: number
  readonly attempt: number
  readonly sinceMs: number
  readonly spent: Spent
  /** A step that must not be repeated without a person (`ask_human`) has started and not finished, or null. */
  readonly inDoubt: { readonly name: string; readonly key: string } | null
}

/** What the supervisor before us left. */
export interface Inheritance {
  /** Identifies this store for ever; part of the marker in every replica's environment. */
  readonly storeId: string
  readonly replicas: readonly ReplicaRecord[]
  readonly leases: readonly InheritedLease[]
  readonly pools: readonly PoolRecord[]
  readonly dependencies: readonly DependencyRecord[]
  /** Every incident that is not closed. */
  readonly incidents: readonly Incident[]
  /** What notifiers know of them. */
  readonly told: readonly Told[]
}
