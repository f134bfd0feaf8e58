import type { Batch, Committed, QueueDepth } from '../model/change.ts'
import type { IncidentId, PoolName, ReplicaName, TaskId } from '../model/ids.ts'
import type { Incident, IncidentStatus } from '../model/incident.ts'
import type { Inheritance, InheritedLease } from '../model/inheritance.ts'
import type { Json } from '../model/json.ts'
import type { OutboxPage } from '../model/notification.ts'
import type { NewTask, SubmitOutcome, TaskStatus, TaskView } from '../model/task.ts'

export type { Inheritance, InheritedLease }

export interface Page<Row> {
  readonly rows: readonly Row[]
  /** Pass it to get the next page; null at the end. */
  readonly cursor: string | null
}

export interface TaskQuery {
  readonly pool?: PoolName
  readonly status?: TaskStatus
  /** 1 to `limits.pageRows`. */
  readonly limit: number
  readonly cursor?: string
}

export interface IncidentQuery {
  readonly open?: boolean
  readonly status?: IncidentStatus
  readonly replica?: ReplicaName
  readonly taskId?: TaskId
  readonly limit: number
  readonly cursor?: string
}

export interface AuditRow {
  readonly atMs: number
  readonly who: string
  readonly what: string
  readonly target: string
  readonly reason: string
}

export type RetryOutcome = 'queued' | 'not_found' | 'not_final'
export type ResolveAnswer =
  /** The step did happen: this is its result. */
  | { readonly kind: 'result'; readonly result: Json }
  /** It did not happen, or may happen again. */
  | { readonly kind: 'repeat' }
  | { readonly kind: 'fail'; readonly reason: string }
export type ResolveOutcome = 'queued' | 'failed' | 'not_found' | 'not_held'

/**
 * Where tasks, journal and ledger live. The promises, each with a test in
 * `test/contract/store.ts` that runs on every implementation:
 *
 * I1. What resolved is durable: it survives SIGKILL of this process and, with
 *     synced commits, a power cut.
 * I2. A decision is applied whole or not at all.
 * I3. At most one valid lease a task; its fence only grows; a write under an
 *     older fence is refused as `stale`.
 * I4. A finished step is never lost and never overwritten.
 * I5. A task that was acknowledged is queued, scheduled, held, leased,
 *     returning or final: never forgotten.
 */
export interface Store {
  /**
   * First call of a supervisor: becomes the owner, raises the fence of every old lease above all that the
   * supervisor before could foresee (its own revoke raises it by one), and reads what was left.
   */
  takeOver(nowMs: number): Promise<Inheritance>

  /** In order; one outcome a task. The same (pool, idempotencyKey) gives the first task. */
  submit(tasks: readonly NewTask[], queueLimit: number): Promise<readonly SubmitOutcome[]>
  /** One transaction. Rejects with PRUNELLA_STORE_FAILED when it could not be made durable: then nothing was applied. */
  commit(batch: Batch): Promise<Committed>
  /** Sends a failed, cancelled or dead task again, under the same id, with its journal cleared and attempts at 0. */
  retry(taskId: TaskId, input: Json | undefined, nowMs: number): Promise<RetryOutcome>
  /** Answers the step a held task waits for. A task held for another reason is queued by `repeat`. */
  resolve(taskId: TaskId, answer: ResolveAnswer, nowMs: number): Promise<ResolveOutcome>

  task(taskId: TaskId): Promise<TaskView | null>
  /** Newest first; without journal steps and outputs above 4 KiB, which `task` gives. */
  tasks(query: TaskQuery): Promise<Page<TaskView>>
  /** Waiting tasks whose submitter's deadline has passed, at most `limit`. */
  overdue(nowMs: number, limit: number): Promise<readonly TaskId[]>
  incident(id: IncidentId): Promise<Incident | null>
  /** Newest first. */
  incidents(query: IncidentQuery): Promise<Page<Incident>>
  audit(limit: number): Promise<readonly AuditRow[]>
  /** What waits for one notifier, at most `limit` rows. Never more than `limits.outboxRows` over all of them. */
  outbox(notifier: string, limit: number): Promise<OutboxPage>
  /** Of every pool that has a task which is not final. */
  depths(): Promise<Readonly<Record<PoolName, QueueDepth>>>

  /** Deletes finished tasks and closed incidents beyond the limits, a bounded number a call. Returns how many. */
  prune(keep: { readonly finishedTasks: number; readonly closedIncidents: number }): Promise<number>
  close(): Promise<void>
}
