import type { ActionKind, Culprit, FaultKind } from './fault.ts'
import type { IncidentId, PoolName, ReplicaName, TaskId } from './ids.ts'

/** `needs_review`: a person must look (quarantine, a held pool); it never closes by itself. */
export type IncidentStatus = 'open' | 'probation' | 'closed' | 'needs_review'

export interface TimelineEntry {
  readonly atMs: number
  readonly kind: 'sign' | 'verdict' | 'action' | 'outcome' | 'operator' | 'closed'
  readonly text: string
}

/** `observed`: it would have been done, and was not, because the pool only observes (R12). */
export type ActionStatus = 'decided' | 'done' | 'failed' | 'observed'

/** One action of one incident. It is written with the decision, before it is carried out (R9). */
export interface ActionRecord {
  readonly kind: ActionKind
  readonly status: ActionStatus
  readonly atMs: number
  readonly endedMs: number | null
  readonly replica: ReplicaName | null
  readonly incarnation: number | null
  readonly taskId: TaskId | null
  /** The strike it answered, 0 where none was charged. */
  readonly strike: number
  readonly reason: string
}

/** The record from the first sign to proven recovery. */
export interface Incident {
  readonly id: IncidentId
  /** Null for a dependency that several pools share. */
  readonly pool: PoolName | null
  readonly replica: ReplicaName | null
  readonly taskId: TaskId | null
  readonly dependency: string | null
  readonly status: IncidentStatus
  readonly fault: { readonly kind: FaultKind; readonly culprit: Culprit; readonly evidence: readonly string[] }
  /** What the verdict rests on, or null where nobody had to be compared. */
  readonly verdict: Attribution | null
  readonly firstSignMs: number
  readonly detectedMs: number
  /** When the replica (or the pool) was in order again; null while it is not. */
  readonly recoveredMs: number | null
  readonly closedMs: number | null
  readonly actions: readonly ActionRecord[]
  readonly timeline: readonly TimelineEntry[]
}

/** Whose fault it is, how sure that is, and the cross table behind it (R1). */
export interface Attribution {
  readonly culprit: Culprit
  /** 0 to 1: how far the table is from saying nothing. */
  readonly confidence: number
  readonly because: string
  readonly table: readonly Witness[]
}

/** One line of the cross table: what one replica saw of what failed, inside the window. */
export interface Witness {
  readonly replica: ReplicaName
  readonly failures: number
  readonly successes: number
  readonly taskIds: readonly TaskId[]
}

/** How loudly people are told (R9). */
export type Severity = 'info' | 'warning' | 'critical'
