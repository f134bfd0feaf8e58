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
  /** The configured dependency it uses: its failure then counts against that, not against the agent. */
  readonly dependency: string | null
  /** It asks again until something changes: repeating it is no loop. */
  readonly poll: boolean
}

/** What the loop detectors see of a tool's result, or of its error (name and message). Made by `model/print`. */
export interface ResultPrint {
  /** Of its canonical JSON. */
  readonly hash: string
  /** The same with every run of digits folded: results that differ in numbers only are equal here. */
  readonly folded: string
  /** Bytes of its canonical JSON; 0 when there is nothing in it (null, an empty text, list or object). */
  readonly length: number
}

/** Why a model call failed, as far as its caller can tell. */
export const modelFailures = [
  'context_overflow',
  'rate_limited',
  'quota_exhausted',
  'overloaded',
  'unavailable',
  'auth',
  'garbled',
] as const
export type ModelFailure = (typeof modelFailures)[number]

/** One model call, as its caller tells it. Null: it did not say. */
export interface ModelUsage {
  readonly provider: string | null
  readonly model: string | null
  readonly promptTokens: number | null
  readonly completionTokens: number | null
  /** What it cost. */
  readonly usd: number | null
  /** How much the model can hold, prompt and answer together. */
  readonly windowTokens: number | null
  /** `hash` and `length` of the answer's print: repeated text is seen without being sent. */
  readonly textHash: string | null
  readonly textLength: number | null
  /** How many tool calls the answer asks for: none, again and again, is talk without action. */
  readonly toolCalls: number | null
  /** Null when it succeeded. */
  readonly failure: ModelFailure | null
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
  | (OfReplica & {
      readonly kind: 'ready'
      readonly checks: readonly string[]
      readonly resettable: boolean
      readonly compactable: boolean
    })
  | (OfReplica & { readonly kind: 'setup_failed'; readonly error: ErrorInfo })
  | (OfReplica & { readonly kind: 'pulse'; readonly lagMs: number })
  | (OfReplica & { readonly kind: 'pong'; readonly ping: number })
  | (OfReplica & {
      readonly kind: 'checked'
      readonly probe: number
      readonly results: Readonly<Record<string, CheckResult>>
    })
  | (OfReplica & {
      readonly kind: 'memory'
      readonly bytes: number
      /** Of the process with the most, and its soft limit; null where /proc does not tell. */
      readonly openFiles: number | null
      readonly openFilesLimit: number | null
    })
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
      /** Of tools only, also of failed ones; null when there is none to be made. */
      readonly print: ResultPrint | null
    })
  | (OfAttempt & { readonly kind: 'model_called'; readonly usage: ModelUsage })
  /** A real person spoke inside a long conversation: what was repeated before is no loop with what follows. */
  | (OfAttempt & { readonly kind: 'user_turn' })
  /** The agent made its context smaller; its size now, if it knows. */
  | (OfAttempt & { readonly kind: 'compacted'; readonly tokens: number | null })
  /** It could not; name `NotSupported` when it has no `compact`. */
  | (OfAttempt & { readonly kind: 'compact_failed'; readonly error: ErrorInfo })
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
  /** What it was charged with was not its own doing: a fault that somebody injected, say. */
  | { readonly kind: 'absolve'; readonly replica: ReplicaName }
  | { readonly kind: 'hold'; readonly pool: PoolName }
  /** `force`: a dependency that holds the pool as well is taken for mended. */
  | { readonly kind: 'resume'; readonly pool: PoolName; readonly force?: boolean }
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
