import type { PoolAccounts, PoolHold, QueueDepth, Strike } from './change.ts'
import type { VerdictLevel } from './detect.ts'
import type { ErrorInfo } from './errors.ts'
import type { Fault } from './fault.ts'
import type { IncidentId, PoolName, ReplicaName, TaskId } from './ids.ts'
import type { CallStart, ProcessLook } from './observation.ts'
import type { CheckResult, DependencySpec } from './probe.ts'
import type { Spent } from './spent.ts'
import type { AttemptOutcome } from './task.ts'

/**
 * The supervisor's working rows. The tick owns the tables; policy gets rows and
 * returns new ones. Data that exists in one phase lives on that phase.
 */

export type ReplicaPhase =
  /** No process; spawn at `spawnAtMs` (backoff, pacing), `Infinity` while its pool is held. */
  | { readonly kind: 'waiting'; readonly spawnAtMs: number }
  | { readonly kind: 'starting'; readonly sinceMs: number; readonly startBeforeMs: number }
  | { readonly kind: 'ready'; readonly sinceMs: number }
  /** No new tasks; when the last is done, or at `untilMs`, the process goes. */
  | { readonly kind: 'draining'; readonly untilMs: number; readonly after: AfterStop }
  /** Told to end; `exited` or `unkillable` comes next. */
  | { readonly kind: 'stopping'; readonly sinceMs: number; readonly giveUpAtMs: number; readonly after: AfterStop }
  | { readonly kind: 'quarantined'; readonly sinceMs: number }

export type AfterStop = 'restart' | 'quarantine' | 'remove'

/** Consecutive results of one probe; the verdict changes only at a threshold. */
export interface ProbeState {
  readonly verdict: 'unknown' | 'ok' | 'failed'
  readonly failures: number
  readonly successes: number
  readonly nextAtMs: number
  /** The question that is out, with the time at which its answer counts as a failure. */
  readonly asked: { readonly id: number; readonly timeoutAtMs: number } | null
}

/** Silence of the main loop, and what was seen from outside since. */
export interface PulseClock {
  /** Silence is counted from here: a pause of our own moves it, for nobody listened. */
  readonly lastMs: number
  /** The last sign of life that was really heard: leases are renewed by it and by nothing else. */
  readonly heardMs: number
  /** First look of this silence: CPU time is compared with it. */
  readonly firstLook: (ProcessLook & { readonly atMs: number }) | null
  readonly lastLook: (ProcessLook & { readonly atMs: number }) | null
  readonly askedMs: number | null
}

/** A hung replica whose stack is being taken before it is killed. */
export interface Judgement {
  readonly fault: Fault
  readonly untilMs: number
}

export interface ReplicaRow {
  readonly name: ReplicaName
  readonly pool: PoolName
  readonly index: number
  readonly incarnation: number
  readonly phase: ReplicaPhase
  readonly pid: number | null
  readonly startTicks: number | null
  readonly resettable: boolean
  readonly compactable: boolean
  readonly pulse: PulseClock
  readonly liveness: ProbeState
  readonly readiness: ProbeState
  readonly checks: Readonly<Record<string, CheckResult>>
  readonly strikes: readonly Strike[]
  readonly incidentId: IncidentId | null
  /** Until then it must stay well, or null. */
  readonly probationUntilMs: number | null
  /** When its processes were replaced, newest last, inside the strike period. */
  readonly replacedMs: readonly number[]
  readonly judgement: Judgement | null
  /** The silence (by its `pulse.lastMs`) about which a pool that only observes has had its say. */
  readonly observedMs: number | null
  readonly memoryBytes: number | null
  /** Last frame to it, so that its host's lease does not run out. */
  readonly leaseSentMs: number
  readonly renewedMs: number
  /** Last task it finished, in any incarnation: contrast for the poison rule (R8). */
  readonly lastDoneMs: number | null
}

export interface OpenCall extends CallStart {
  readonly sinceMs: number
  readonly deadlineMs: number
}

export type AttemptPhase =
  | { readonly kind: 'sent' }
  | { readonly kind: 'running'; readonly sinceMs: number }
  /** Its fence is raised; it ends when the host has let go, or its process is gone. */
  | {
      readonly kind: 'returning'
      readonly untilMs: number
      readonly ending: Ending
      /** When it began to run; null: it had not. */
      readonly sinceMs: number | null
    }

/** How an attempt will be written once its replica has let go. */
export interface Ending {
  readonly outcome: AttemptOutcome
  readonly counted: boolean
  readonly lost: boolean
  readonly error: ErrorInfo | null
  readonly evidence: readonly string[]
  /** Where the task goes instead of the retry policy's choice. */
  readonly finish: 'cancelled' | 'deadline' | 'held' | 'too_large' | null
  /** What the next attempt must not do again, in words. */
  readonly doNot?: readonly string[]
}

export interface AttemptRow {
  readonly taskId: TaskId
  readonly pool: PoolName
  readonly replica: ReplicaName
  readonly incarnation: number
  /** Under which the host runs it. A returning attempt is written under `fence + 1`. */
  readonly fence: number
  readonly attempt: number
  readonly countedAttempts: number
  readonly lostReplicas: readonly ReplicaName[]
  readonly deadlineMs: number | null
  /** Dependencies that this task needs beyond its pool's. */
  readonly needs: readonly string[]
  readonly dispatchedMs: number
  readonly phase: AttemptPhase
  readonly progressMs: number
  readonly calls: readonly OpenCall[]
  /** The dependency whose call failed last, with nothing that succeeded since; or null. */
  readonly failedOn: string | null
  /** Starts of `ask_human` steps without an end: the task is held if the replica dies now. */
  readonly inDoubt: readonly { readonly name: string; readonly key: string }[]
  readonly use: TaskUse
}

/** What a task has spent by now, as its attempts said, and what follows from it. */
export interface TaskUse {
  /** All attempts together; its time without that of this attempt. */
  readonly spent: Spent
  /** Model calls of this attempt that were told. */
  readonly calls: number
  /** The store knows as much. */
  readonly isWritten: boolean
  /** The loudest that was said about it in this attempt. */
  readonly said: VerdictLevel | null
}

/** One failure in the cross table of replica and task (R1). */
export interface FailureMark {
  readonly atMs: number
  readonly kind: Fault['kind']
  readonly replica: ReplicaName
  readonly taskId: TaskId | null
  /** The tasks that may have caused it: all that ran in the process, until one completes after all. */
  readonly suspects: readonly TaskId[]
  /** Those of them that are still to be tried again, so that more will be known. */
  readonly awaited: readonly TaskId[]
  /** The dependency that the evidence names, or null. */
  readonly dependency: string | null
  /** What it cost its task, to be given back when the culprit turns out to be another. */
  readonly counted: boolean
  readonly lost: boolean
}

/**
 * Guards one dependency for everybody who shares it. `half_open`: a check
 * succeeded, and more must before everybody is let in. A closed one that was open
 * lets its pools back in from `thawedMs` on, a few at first.
 */
export type Breaker =
  | { readonly kind: 'closed'; readonly sinceMs: number; readonly thawedMs: number | null }
  | {
      readonly kind: 'open' | 'half_open'
      readonly sinceMs: number
      readonly firstSignMs: number
      readonly reason: string
      /** In a row: of its check, or of tasks that try it where its check is no witness. */
      readonly successes: number
      /** Its check has failed as well: then the check says when it is over, else a task that gets through does. */
      readonly isSeen: boolean
      /** Since when its check passes with no task that has failed in a trial; null: it does not. */
      readonly passesSinceMs: number | null
    }

/** What one replica saw of a dependency: the column of the cross table. */
export interface DependencyWitness {
  /** Failed calls in a row. */
  readonly failures: number
  readonly firstFailureMs: number | null
  readonly lastFailureMs: number | null
  readonly lastSuccessMs: number | null
  /** Tasks that the failures in a row belong to, at most five. */
  readonly taskIds: readonly TaskId[]
}

export interface DependencyRow {
  readonly spec: DependencySpec
  readonly breaker: Breaker
  readonly openedMs: readonly number[]
  /** The node's own check: the second witness. */
  readonly check: ProbeState
  readonly last: { readonly result: CheckResult; readonly latencyMs: number; readonly atMs: number } | null
  /** Calls of all replicas in the half window since `sinceMs`, and in the one before. */
  readonly traffic: {
    readonly sinceMs: number
    readonly ok: number
    readonly failed: number
    readonly okBefore: number
    readonly failedBefore: number
  }
  readonly witnesses: Readonly<Record<ReplicaName, DependencyWitness>>
  /** Since when it is suspected, by its check or by failures that name nothing; null: it is not. */
  readonly suspectMs: number | null
  readonly incidentId: IncidentId | null
  /** Since when a closed one has an incident that waits for it to stay well, or null. */
  readonly stableMs: number | null
}

export interface PoolRow {
  readonly name: PoolName
  readonly wanted: number
  readonly hold: PoolHold | null
  readonly depth: QueueDepth
  /** Failures inside the strike period, newest last, at most `limits.failureMarks`. */
  readonly marks: readonly FailureMark[]
  /** Replacements that were spawned inside the intensity period, newest last. */
  readonly replacedMs: readonly number[]
  /** Highest incarnation of a place that is gone: a new place of its name starts above, or its ghosts would pass. */
  readonly incarnationFloor: number
  /** Starts that failed since the last one that succeeded. */
  readonly failedStarts: number
  /** Smoothed running time of one attempt, ms: how much prefetching pays. */
  readonly taskMs: number
  /** In the name of the incident of its last hold: another one of the same millisecond is named for the next. */
  readonly heldMs: number
  /** Why it is not ready (a dependency that is down), or null. Gates dispatch. */
  readonly notReady: string | null
  /** While it is held: the one task that may try whether its dependency answers, and the replica that was last given one. */
  readonly trial: { readonly atMs: number; readonly isOpen: boolean; readonly replica: ReplicaName | null } | null
  /** Since when it is let back in after a hold, a few tasks at first; null when it is at full strength. */
  readonly thaw: { readonly sinceMs: number; readonly rampMs: number } | null
  /** Soft restarts inside the last hour, newest last; and when people were last told that there are too many (R10). */
  readonly softMs: readonly number[]
  readonly alarmedMs: number | null
  /** Whether people were told that spawning is paced. */
  readonly paced: boolean
  readonly use: PoolUse
}

/** What a pool has spent by now, as its attempts said, and what follows from it. */
export interface PoolUse {
  readonly accounts: PoolAccounts
  /** The store knows as much. */
  readonly isWritten: boolean
  readonly burn: BurnState
  /** When people were last told that it burns more than usual. */
  readonly alarmedMs: number | null
  /** Start of the period about which a pool that only observes has had its say. */
  readonly observedMs: number | null
}

/** Tokens by period. */
export interface BurnState {
  readonly periodStartMs: number
  readonly periodTokens: number
  /** Periods with calls, newest last, bounded. */
  readonly history: readonly number[]
  readonly said: VerdictLevel | null
}
