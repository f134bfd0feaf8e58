import type { ErrorInfo } from './errors.ts'
import type { IncidentId, PoolName, ReplicaName, TaskId } from './ids.ts'
import type { Incident } from './incident.ts'
import type { Json } from './json.ts'
import type { Delivery, OutboxWrite, Told } from './notification.ts'
import type { Account, Spent } from './spent.ts'
import type { AttemptOutcome, Lease, PreviousAttempt, RepeatWord } from './task.ts'

/** Where a task goes when an attempt has ended. */
export type NextState =
  | {
      readonly status: 'queued'
      /** Not before this time (retry backoff), or null for at once. */
      readonly notBeforeMs: number | null
      /** Prefer another replica until `untilMs` (R1). */
      readonly avoid: { readonly replica: ReplicaName; readonly untilMs: number } | null
    }
  | { readonly status: 'held'; readonly reason: string }
  | { readonly status: 'done'; readonly output: Json }
  | { readonly status: 'failed'; readonly error: ErrorInfo; readonly reason: string }
  | { readonly status: 'dead_letter'; readonly error: ErrorInfo | null; readonly reason: string }
  | { readonly status: 'cancelled'; readonly reason: string }

/** One row's worth of a decision. All changes of one decision are applied, or none. */
export type Change =
  /** Takes the lease away: fence + 1, status `returning`. Refused when `fence` is not the current one. */
  | { readonly kind: 'revoke'; readonly taskId: TaskId; readonly fence: number }
  /** Ends an attempt under its current fence (the raised one after a revoke). Raises the fence again unless final. */
  | {
      readonly kind: 'end_attempt'
      readonly taskId: TaskId
      readonly fence: number
      readonly atMs: number
      readonly outcome: AttemptOutcome
      /** Whether it uses up one of the pool's attempts. */
      readonly counted: boolean
      /** Its replica was lost while running it: counts towards poison (R8). */
      readonly lostReplica: ReplicaName | null
      readonly error: ErrorInfo | null
      readonly previous: PreviousAttempt | null
      /** What the task has spent, all attempts together; absent: as the store knows it. */
      readonly spent?: Spent
      readonly next: NextState
    }
  /** What a running task has spent so far, all attempts together: the next supervisor must not begin at nothing. */
  | { readonly kind: 'spend'; readonly taskId: TaskId; readonly fence: number; readonly spent: Spent }
  /** Journal: the start of a step that must be known before it acts. */
  | {
      readonly kind: 'step_started'
      readonly taskId: TaskId
      readonly fence: number
      readonly name: string
      readonly key: string
      readonly repeat: RepeatWord
      readonly atMs: number
    }
  | {
      readonly kind: 'step_done'
      readonly taskId: TaskId
      readonly fence: number
      readonly name: string
      readonly key: string
      readonly repeat: RepeatWord
      readonly result: Json
      readonly startedMs: number
      readonly atMs: number
    }
  /** Evidence of life prolongs leases. A lease whose fence was raised is left alone, without an error. */
  | {
      readonly kind: 'renew'
      readonly leases: readonly { readonly taskId: TaskId; readonly fence: number }[]
      readonly untilMs: number
    }
  /** A task nobody holds: operator or deadline. Refused when it is leased, returning or final. */
  | { readonly kind: 'finish_waiting'; readonly taskId: TaskId; readonly atMs: number; readonly next: NextState }
  /** The attempts and losses an agent's fault charged to tasks are given back (R1, R2). */
  | { readonly kind: 'refund'; readonly taskId: TaskId; readonly attempts: number; readonly losses: number }
  | { readonly kind: 'incident'; readonly incident: Incident }
  /** Who is to be told what (R9), and what they know of the incident from then on; null: it is about none. */
  | { readonly kind: 'notification'; readonly told: Told | null; readonly deliveries: readonly Delivery[] }
  | { readonly kind: 'outbox'; readonly write: OutboxWrite }
  | { readonly kind: 'replica'; readonly record: ReplicaRecord }
  | { readonly kind: 'forget_replica'; readonly replica: ReplicaName }
  | { readonly kind: 'pool'; readonly record: PoolRecord }
  | { readonly kind: 'dependency'; readonly record: DependencyRecord }
  | {
      readonly kind: 'audit'
      readonly atMs: number
      readonly who: string
      readonly what: string
      readonly target: string
      readonly reason: string
    }

/** What outlives the supervisor about a replica. */
export interface ReplicaRecord {
  readonly name: ReplicaName
  readonly pool: PoolName
  readonly index: number
  readonly incarnation: number
  /** Set once the process is known; with `startTicks` it names one process for ever. */
  readonly pid: number | null
  readonly startTicks: number | null
  readonly strikes: readonly Strike[]
  readonly quarantined: boolean
  readonly incidentId: string | null
}

/** One mark against a replica. It ages out, and is refunded when the culprit turns out to be another. */
export interface Strike {
  readonly atMs: number
  readonly incidentId: string
  /** The lowest ladder slot this fault may take: 0 unless a mild rung cannot mend it. */
  readonly minSlot: number
  /** The task it happened on: a poison verdict refunds by it. */
  readonly taskId: TaskId | null
  /** The dependency that its evidence names: an outage refunds by it. */
  readonly dependency: string | null
}

/** What outlives the supervisor about a dependency: an outage does not end because we were restarted. */
export interface DependencyRecord {
  readonly dependency: string
  readonly down: { readonly sinceMs: number; readonly firstSignMs: number; readonly reason: string } | null
  /** When it was found down, newest last, inside the time that makes it flapping. */
  readonly openedMs: readonly number[]
  readonly incidentId: IncidentId | null
}

/** What outlives the supervisor about a pool. */
export interface PoolRecord {
  readonly pool: PoolName
  readonly wanted: number
  readonly hold: PoolHold | null
  /** Highest incarnation of a place that is gone: a new place of its name starts above. */
  readonly incarnationFloor: number
  /** What it has spent this hour and this day. A record of an older version has none. */
  readonly accounts?: PoolAccounts
}

export interface PoolAccounts {
  readonly hour: Account
  readonly day: Account
}

export interface PoolHold {
  readonly cause: 'operator' | 'defective_agent' | 'dependency' | 'budget'
  readonly sinceMs: number
  readonly reason: string
  readonly incidentId: string | null
}

/** Asks for up to `count` tasks for one replica. */
export interface Claim {
  readonly pool: PoolName
  readonly replica: ReplicaName
  readonly incarnation: number
  readonly count: number
  /**
   * True when the replica has nothing else in hand: it may take a suspect task
   * (one that cost a replica), and then takes that one alone (R8).
   */
  readonly idle: boolean
  /** Whether another ready replica exists, so that a task may wait for one it does not avoid. */
  readonly hasSibling: boolean
  /** Dependencies that are down: tasks that need one of them stay where they are. */
  readonly blocked: readonly string[]
  readonly leaseUntilMs: number
}

/** What one tick wants written: one transaction. */
export interface Batch {
  readonly nowMs: number
  /** Each is applied whole or not at all; one refused decision does not touch the others. */
  readonly decisions: readonly (readonly Change[])[]
  /** Served after the decisions, in order. */
  readonly claims: readonly Claim[]
}

export interface Committed {
  /** For each decision, in order: applied, or the reason it was refused. */
  readonly outcomes: readonly ('applied' | 'stale' | 'conflict')[]
  /** For each claim, in order. */
  readonly leases: readonly (readonly Lease[])[]
  /** Claimable and soon claimable tasks of each pool after this transaction. */
  readonly depths: Readonly<Record<PoolName, QueueDepth>>
}

export interface QueueDepth {
  readonly queued: number
  readonly scheduled: number
  readonly held: number
  readonly leased: number
  /** Of the queued ones: those that cost a replica, and so need an idle one to themselves (R8). */
  readonly suspects: number
  /** When the next scheduled task is due, or null. */
  readonly nextDueMs: number | null
}
