import type { PoolHold, QueueDepth } from './change.ts'
import type { Culprit } from './fault.ts'
import type { IncidentId, PoolName, ReplicaName, TaskId } from './ids.ts'
import type { CheckResult, HealthStatus } from './probe.ts'

/** A replica as doors and page see it. Ages are computed when the snapshot is taken. */
export interface ReplicaView {
  readonly name: ReplicaName
  readonly pool: PoolName
  readonly phase: 'waiting' | 'starting' | 'ready' | 'draining' | 'stopping' | 'quarantined'
  readonly incarnation: number
  readonly pid: number | null
  readonly ready: boolean
  readonly pulseAgeMs: number | null
  readonly progressAgeMs: number | null
  readonly strikes: number
  readonly probation: boolean
  readonly tasks: readonly {
    readonly id: TaskId
    readonly fence: number
    readonly runningMs: number
    readonly doing: string | null
  }[]
  readonly memoryBytes: number | null
  readonly incidentId: IncidentId | null
  readonly checks: Readonly<Record<string, CheckResult>>
}

export interface PoolView {
  readonly name: PoolName
  readonly wanted: number
  readonly min: number
  readonly max: number
  readonly phases: Readonly<Record<ReplicaView['phase'], number>>
  readonly depth: QueueDepth
  readonly active: number
  readonly status: HealthStatus
  readonly hold: PoolHold | null
}

export interface DependencyView {
  readonly name: string
  readonly role: string
  readonly critical: boolean
  readonly up: boolean | null
  readonly breaker: 'closed' | 'open' | 'half_open'
  /** Since when the breaker is so. */
  readonly sinceMs: number
  readonly reason: string | null
  readonly checkedMs: number | null
  readonly latencyMs: number | null
  readonly pools: readonly PoolName[]
}

export interface NodeView {
  readonly startedMs: number
  readonly lastSweepMs: number
  /** Worst delay of the supervisor's own loop in the last ten seconds. */
  readonly lagMs: number
  readonly shuttingDown: boolean
  /** What the healer cannot see or do here, and why. */
  readonly blindSpots: readonly string[]
}

/** Why something is as it is: what `prunella why` puts into words. */
export interface Explanation {
  readonly subject: string
  readonly culprit: Culprit | null
  readonly text: string
}
