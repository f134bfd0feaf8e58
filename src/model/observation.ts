import type { ErrorInfo } from './errors.ts'
import type { PoolName, ReplicaName, TaskId } from './ids.ts'
import type { Json } from './json.ts'
import type { CheckResult } from './probe.ts'
import type { RepeatWord } from './task.ts'

/** Who an observation is about. Facts of an older incarnation are dropped in one place, `runtime/tick`. */
interface OfReplica {
  readonly replica: ReplicaName
  readonly incarnation: number
  /** When it reached us, clock ms. */
  readonly atMs: number
}

interface OfAttempt extends OfReplica {
  readonly taskId: TaskId
  readonly fence: number
}

export type CallKind = 'step' | 'tool' | 'wait'

/** What the agent says it is doing: a step, a tool call or a declared wait, with a number of its own in the attempt. */
export interface CallStart {
  readonly call: number
  readonly kind: CallKind
  readonly name: string
  /** Journaled under (name, key) when not null. */
  readonly key: string | null
  readonly repeat: RepeatWord
  /** Its own deadline, or null for the pool's. */
  readonly timeoutMs: number | null
  /** It blocks the main thread on purpose, so silence of the pulse is expected. */
  readonly blocking: boolean
  /** Fingerprint of the arguments, for the loop detectors: short hash and length, and a short readable form. */
  readonly args: { readonly hash: string; readonly length: number; readonly text: string } | null
}

/** What /proc says about a silent process. */
export interface ProcessLook {
  /** `R` running, `S` sleeping, `D` waiting for the disk, `T` stopped, `Z` zombie, `gone`. */
  readonly state: 'R' | 'S' | 'D' | 'T' | 'Z' | 'gone'
  /** CPU time used since the process started, ms (granularity 10 ms). */
  readonly cpuMs: number
  /** Living child processes: an agent inside `execSync` has one. */
  readonly children: number
}

export type ExitCause = 'exit' | 'signal' | 'oom_kill' | 'heap_exhausted'

export type ReplicaObservation =
  | (OfReplica & { readonly kind: 'spawned'; readonly pid: number; readonly startTicks: number | null })
  | (OfReplica & { readonly kind: 'spawn_failed'; readonly error: ErrorInfo })
  | (OfReplica & { readonly kind: 'ready'; readonly checks: readonly string[]; readonly resettable: boolean })
  | (OfReplica & { readonly kind: 'setup_failed'; readonly error: ErrorInfo })
  | (OfReplica & { readonly kind: 'pulse'; readonly lagMs: number })
  | (OfReplica & { readonly kind: 'pong'; readonly ping: number })
  | (OfReplica & {
      readonly kind: 'checked'
      readonly probe: number
      readonly results: Readonly<Record<string, CheckResult>>
    })
  | (OfReplica & { readonly kind: 'memory'; readonly bytes: number })
  | (OfReplica & { readonly kind: 'looked'; readonly look: ProcessLook })
  | (OfReplica & { readonly kind: 'stack'; readonly frames: readonly string[] })
  | (OfReplica & { readonly kind: 'violation'; readonly reason: string })
  | (OfReplica & {
      readonly kind: 'exited'
      readonly code: number | null
      readonly signal: string | null
      readonly cause: ExitCause
      readonly stderrTail: string
    })
  /** SIGKILL was sent two seconds ago and the process is still there (frozen file system). We go on without it. */
  | (OfReplica & { readonly kind: 'unkillable'; readonly pid: number })

export type AttemptObservation =
  | (OfAttempt & { readonly kind: 'started' })
  | (OfAttempt & { readonly kind: 'progress'; readonly note: string })
  | (OfAttempt & { readonly kind: 'call_started'; readonly start: CallStart })
  | (OfAttempt & {
      readonly kind: 'call_ended'
      readonly call: number
      readonly ok: boolean
      /** The result when the call is journaled and succeeded. */
      readonly result: Json
      readonly error: ErrorInfo | null
    })
  | (OfAttempt & { readonly kind: 'done'; readonly output: Json })
  | (OfAttempt & { readonly kind: 'failed'; readonly error: ErrorInfo })
  /** The old `run()` and everything it opened have settled, or the host never had the attempt. */
  | (OfAttempt & { readonly kind: 'reset_ok' })
  /** `reset()` itself threw: the context may be left over. */
  | (OfAttempt & { readonly kind: 'reset_failed'; readonly error: ErrorInfo })
  /** The host's own clock says its lease ran out: it has aborted the attempt. */
  | (OfAttempt & { readonly kind: 'lease_expired' })

export type OperatorCommand =
  | { readonly kind: 'restart'; readonly replica: ReplicaName; readonly rung: 'soft' | 'hard' }
  | { readonly kind: 'drain'; readonly replica: ReplicaName }
  | { readonly kind: 'quarantine'; readonly replica: ReplicaName }
  | { readonly kind: 'release'; readonly replica: ReplicaName }
  | { readonly kind: 'hold'; readonly pool: PoolName }
  | { readonly kind: 'resume'; readonly pool: PoolName }
  | { readonly kind: 'scale'; readonly pool: PoolName; readonly replicas: number }
  | { readonly kind: 'cancel'; readonly taskId: TaskId }

/** Who asks, and why: both stand in the ledger. */
export interface OperatorRequest {
  readonly id: number
  readonly command: OperatorCommand
  readonly who: string
  readonly reason: string
}

export type NodeObservation =
  /** Tasks of this pool became claimable. */
  | { readonly kind: 'work_arrived'; readonly pool: PoolName; readonly count: number; readonly atMs: number }
  | {
      readonly kind: 'dependency_checked'
      readonly dependency: string
      readonly result: CheckResult
      readonly latencyMs: number
      readonly atMs: number
    }
  | { readonly kind: 'operator'; readonly request: OperatorRequest; readonly atMs: number }
  /** This process did not run for `missedMs` (laptop lid, VM freeze, SIGSTOP): nobody else is to blame for the silence. */
  | { readonly kind: 'paused'; readonly missedMs: number; readonly atMs: number }
  | { readonly kind: 'shutdown'; readonly atMs: number; readonly deadlineMs: number }

/** One fact from outside. Everything the supervisor knows came through one of these. */
export type Observation = ReplicaObservation | AttemptObservation | NodeObservation
