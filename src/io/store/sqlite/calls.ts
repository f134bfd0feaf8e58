/** What crosses the thread boundary: JSON text both ways, which costs half of a structured clone. */
import type { Batch } from '../../../model/change.ts'
import type { ErrorCode } from '../../../model/errors.ts'
import type { IncidentId, TaskId } from '../../../model/ids.ts'
import type { Json } from '../../../model/json.ts'
import type { NewTask } from '../../../model/task.ts'
import type { IncidentQuery, ResolveAnswer, Store, TaskQuery } from '../../../port/store.ts'

/** The arguments of each call. JSON has no `undefined`, so a retry's input comes as a list of none or one. */
export interface Calls {
  takeOver: readonly [nowMs: number]
  submit: readonly [tasks: readonly NewTask[], queueLimit: number]
  commit: readonly [batch: Batch]
  retry: readonly [taskId: TaskId, input: readonly Json[], nowMs: number]
  resolve: readonly [taskId: TaskId, answer: ResolveAnswer, nowMs: number]
  prune: readonly [keep: Parameters<Store['prune']>[0]]
  task: readonly [taskId: TaskId]
  tasks: readonly [query: TaskQuery]
  overdue: readonly [nowMs: number, limit: number]
  incident: readonly [id: IncidentId]
  incidents: readonly [query: IncidentQuery]
  audit: readonly [limit: number]
  outbox: readonly [notifier: string, limit: number]
  depths: readonly []
}

export type Method = keyof Calls
export type RequestOf<M extends Method> = M extends Method ? readonly [id: number, method: M, ...args: Calls[M]] : never
export type Request = RequestOf<Method>

export interface Failure {
  readonly code: ErrorCode
  readonly message: string
}

/** One reply: the request's number, and its value or why it failed. */
export type Reply = readonly [id: number, value: unknown] | readonly [id: number, value: null, failure: Failure]

/** Sent once, when the store is open or cannot be opened. */
export type Opened = { readonly opened: true } | { readonly opened: false; readonly failure: Failure }

export interface WorkerOptions {
  readonly path: string
}
