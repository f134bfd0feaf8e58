import type { ActionKind, FaultKind } from './fault.ts'
import type { IncidentId, PoolName, ReplicaName, TaskId } from './ids.ts'
import type { Incident, Severity } from './incident.ts'
import type { CheckResult } from './probe.ts'
import type { AttemptOutcome, TaskStatus } from './task.ts'

/**
 * What the world is told once a decision is committed. Events, metrics, log
 * lines and notifications are all projections of these; nothing else feeds them.
 */
export type Notice =
  | {
      readonly kind: 'task'
      readonly taskId: TaskId
      readonly pool: PoolName
      readonly status: TaskStatus
      readonly atMs: number
    }
  | {
      readonly kind: 'attempt_ended'
      readonly taskId: TaskId
      readonly pool: PoolName
      readonly replica: ReplicaName
      readonly outcome: AttemptOutcome
      readonly startedMs: number
      readonly atMs: number
    }
  | {
      readonly kind: 'replica'
      readonly replica: ReplicaName
      readonly pool: PoolName
      readonly phase: string
      readonly incarnation: number
      readonly atMs: number
    }
  | {
      readonly kind: 'incident'
      readonly incident: Incident
      readonly severity: Severity
      readonly change: 'opened' | 'changed' | 'recovered' | 'closed'
      readonly atMs: number
    }
  | {
      readonly kind: 'action'
      readonly pool: PoolName
      readonly replica: ReplicaName | null
      readonly taskId: TaskId | null
      readonly action: ActionKind
      readonly fault: FaultKind
      readonly incidentId: IncidentId | null
      readonly reason: string
      readonly atMs: number
    }
  | { readonly kind: 'pool'; readonly pool: PoolName; readonly text: string; readonly atMs: number }
  | { readonly kind: 'dependency'; readonly dependency: string; readonly result: CheckResult; readonly atMs: number }
  | { readonly kind: 'node'; readonly text: string; readonly severity: Severity; readonly atMs: number }
