import type { DetectSpec } from './detect.ts'
import type { ChildEnvironment } from './environment.ts'
import type { PoolName } from './ids.ts'
import type { ProbeSpec } from './probe.ts'
import type { RepeatWord } from './task.ts'

/** How an agent is started. Paths are absolute. */
export type AgentSpec =
  | { readonly kind: 'module'; readonly path: string }
  | { readonly kind: 'command'; readonly command: readonly string[]; readonly protocol: 'frames' | 'none' }

/** Exponential backoff with full jitter: a random part of `min(maxMs, baseMs × factor^n)`. */
export interface BackoffSpec {
  readonly baseMs: number
  readonly factor: number
  readonly maxMs: number
  /** 0: exact; 1: full jitter. */
  readonly jitter: number
}

/** Pulse watch: silence after which a replica is suspect, then judged hung by what /proc says. */
export interface PulseSpec {
  readonly everyMs: number
  readonly suspectMs: number
  readonly hungMs: number
}

export interface DeadlinesSpec {
  /** Time limit of one attempt, or null: slow is not dead (R7). */
  readonly taskMs: number | null
  readonly stepMs: number
  readonly toolMs: number
  /** No progress and nothing declared for this long is a stall. */
  readonly idleMs: number
}

export interface RecoverySpec {
  /** `observe` (R12): verdicts are recorded, and every living process is left alone. */
  readonly mode: 'act' | 'observe'
  /** Whether the agent is told when it loops, before anything is taken from it. */
  readonly nudge: boolean
  /** Soft restarts of the pool within an hour after which people are told, whatever the success rate (R10). */
  readonly alertAfterSoft: number
  /** Soft restarts before the first hard one. */
  readonly soft: number
  /** Hard restarts before quarantine. */
  readonly hard: number
  /** Strikes older than this are gone (R4). */
  readonly strikePeriodMs: number
  /** How long a replica must stay well after an action before its incident closes. */
  readonly probationMs: number
  /** How long an aborted attempt may take to settle before the process is replaced. */
  readonly resetMs: number
  /** SIGTERM to SIGKILL. */
  readonly graceMs: number
  /** How long siblings of a faulty attempt may run on before a hard restart. */
  readonly drainMs: number
  readonly backoff: BackoffSpec
  /** Replacements per pool in `intensityPeriodMs` before spawning is paced (R5). */
  readonly intensity: number
  readonly intensityPeriodMs: number
  /** Replicas in recovery at once, per pool. */
  readonly maxRecovering: number
  /** Quarantined replicas whose place is taken by another. */
  readonly maxQuarantined: number
  /** Replicas lost to one task before it is buried as poison (R8). */
  readonly poisonAfter: number
}

export interface RetrySpec {
  readonly attempts: number
  readonly backoff: BackoffSpec
  /** For work outside steps. */
  readonly repeat: RepeatWord
}

export interface PoolSpec {
  readonly name: PoolName
  /** Who answers for it: stands in notifications. */
  readonly owner: string | null
  readonly agent: AgentSpec
  readonly concurrency: number
  readonly replicas: { readonly min: number; readonly max: number }
  readonly dependsOn: readonly string[]
  readonly health: { readonly liveness: ProbeSpec; readonly readiness: ProbeSpec; readonly startup: ProbeSpec }
  readonly pulse: PulseSpec
  readonly deadlines: DeadlinesSpec
  readonly detect: DetectSpec
  readonly recovery: RecoverySpec
  readonly retry: RetrySpec
  readonly leaseMs: number
  readonly memoryBytes: number | null
  /** Processes and threads a replica may have at a time, with all it started. */
  readonly processLimit: number
  readonly environment: ChildEnvironment
}
