import type { ActionKind, Culprit, FaultKind } from './fault.ts'
import type { IncidentId, PoolName, ReplicaName, TaskId } from './ids.ts'

/** `needs_review`: a person must look (quarantine, a held pool); it never closes by itself. */
export type IncidentStatus = 'open' | 'probation' | 'closed' | 'needs_review'

export interface TimelineEntry {
  readonly atMs: number
  readonly kind: 'sign' | 'verdict' | 'action' | 'outcome' | 'operator' | 'closed'
  readonly text: string
}

export type ActionStatus = 'decided' | 'done' | 'failed'

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
  readonly pool: PoolName
  readonly replica: ReplicaName | null
  readonly taskId: TaskId | null
  readonly status: IncidentStatus
  readonly fault: { readonly kind: FaultKind; readonly culprit: Culprit; readonly evidence: readonly string[] }
  readonly firstSignMs: number
  readonly detectedMs: number
  /** When the replica (or the pool) was in order again; null while it is not. */
  readonly recoveredMs: number | null
  readonly closedMs: number | null
  readonly actions: readonly ActionRecord[]
  readonly timeline: readonly TimelineEntry[]
}

/** How loudly people are told (R9). */
export type Severity = 'info' | 'warning' | 'critical'
