import type { ErrorInfo } from './errors.ts'
import type { PoolName, ReplicaName, TaskId } from './ids.ts'
import type { Json } from './json.ts'
import type { Spent } from './spent.ts'

/**
 * `queued` may be claimed; `scheduled` waits for its time; `held` waits for a person;
 * `leased` belongs to a replica; `returning` was taken from a replica that has not let go yet
 * (its fence is raised, so a late result is refused, but nobody else may have it).
 */
export type TaskStatus =
  | 'queued'
  | 'scheduled'
  | 'held'
  | 'leased'
  | 'returning'
  | 'done'
  | 'failed'
  | 'dead_letter'
  | 'cancelled'

export const finalStatuses = ['done', 'failed', 'dead_letter', 'cancelled'] as const
export type FinalStatus = (typeof finalStatuses)[number]

export function isFinal(status: TaskStatus): status is FinalStatus {
  return (finalStatuses as readonly TaskStatus[]).includes(status)
}

/** What may be done with a step that started and has no result when its replica died. */
export type RepeatWord = 'safe_to_retry' | 'check_first' | 'ask_human'

/** What a submitter says. Times are wall clock, ms. */
export interface NewTask {
  readonly id: TaskId
  readonly pool: PoolName
  readonly input: Json
  /** Higher runs first. Whole number, -1000 to 1000. */
  readonly priority: number
  /** Not claimable before this time. */
  readonly notBeforeMs: number | null
  /** Fails with `deadline_exceeded` when not done by then. */
  readonly deadlineMs: number | null
  /** The same key in the same pool is the same task. */
  readonly idempotencyKey: string | null
  /** Dependencies that this task needs beyond its pool's. */
  readonly needs: readonly string[]
  readonly submittedMs: number
}

export type SubmitOutcome =
  | { readonly kind: 'created'; readonly id: TaskId; readonly status: TaskStatus }
  | { readonly kind: 'existing'; readonly id: TaskId; readonly status: TaskStatus }
  | { readonly kind: 'refused'; readonly reason: 'queue_full' }

/** How one attempt ended. Only `counts: true` ends use up the pool's `retry.attempts`. */
export type AttemptOutcome =
  | 'done'
  | 'failed'
  | 'crashed'
  | 'unresponsive'
  | 'stalled'
  | 'tool_loop'
  | 'context_overflow'
  | 'budget_exceeded'
  | 'protocol_violation'
  | 'cancelled'
  | 'deadline_exceeded'
  | 'returned' // Uncounted: drain, sibling's fault, supervisor restart, never started.

export interface AttemptRecord {
  readonly attempt: number
  readonly replica: ReplicaName
  readonly incarnation: number
  readonly startedMs: number
  readonly endedMs: number
  readonly outcome: AttemptOutcome
  /** Whether it used up one of the pool's attempts. */
  readonly counted: boolean
  readonly error?: ErrorInfo
}

/** Why the last attempt ended, handed to the next one as data: `ctx.previous`. */
export interface PreviousAttempt {
  readonly attempt: number
  readonly outcome: AttemptOutcome
  readonly error?: ErrorInfo
  /** What was seen, in words, e.g. the tool call that never returned. */
  readonly evidence: readonly string[]
  /** What the next attempt must not do again, in words, quoted as data. */
  readonly doNot: readonly string[]
}

/** One step of a task's journal. Identity is (name, key); a finished step is never run again. */
export type JournalStep =
  | {
      readonly state: 'started'
      readonly name: string
      readonly key: string
      readonly repeat: RepeatWord
      readonly startedMs: number
    }
  | {
      readonly state: 'done'
      readonly name: string
      readonly key: string
      readonly repeat: RepeatWord
      readonly result: Json
      readonly startedMs: number
      readonly endedMs: number
    }

/** A replica's right to a task: every write that carries an older fence is refused. */
export interface Lease {
  readonly taskId: TaskId
  readonly pool: PoolName
  readonly replica: ReplicaName
  readonly incarnation: number
  /** Only grows. */
  readonly fence: number
  /** 1 for the first attempt; counts every lease, refunded or not. */
  readonly attempt: number
  /** Attempts that counted before this one. */
  readonly countedAttempts: number
  /** Incarnations that ended while running this task, refunds excluded. */
  readonly lostReplicas: readonly ReplicaName[]
  readonly input: Json
  readonly priority: number
  readonly deadlineMs: number | null
  readonly needs: readonly string[]
  /** What its attempts before have spent, or those since a person last let it go on. */
  readonly spent: Spent
  readonly journal: readonly JournalStep[]
  readonly previous: PreviousAttempt | null
}

/** A task as its reader sees it. */
export interface TaskView {
  readonly id: TaskId
  readonly pool: PoolName
  readonly status: TaskStatus
  readonly input: Json
  readonly priority: number
  readonly idempotencyKey: string | null
  readonly needs: readonly string[]
  readonly submittedMs: number
  readonly notBeforeMs: number | null
  readonly deadlineMs: number | null
  readonly finishedMs: number | null
  readonly fence: number
  /** The lease it is under now, if any. */
  readonly lease: { readonly replica: ReplicaName; readonly incarnation: number; readonly sinceMs: number } | null
  readonly attempts: readonly AttemptRecord[]
  readonly countedAttempts: number
  /** Since it was submitted, or since a person last let it go on. Of an attempt that runs: as last written. */
  readonly spent: Spent
  readonly output: Json | null
  readonly error: ErrorInfo | null
  /** Why it is held or a dead letter, in words. */
  readonly reason: string | null
  readonly steps: readonly JournalStep[]
}
