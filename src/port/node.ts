import type { ChaosRequest, Injection } from '../model/chaos.ts'
import type { OperatorAnswer } from '../model/effect.ts'
import type { Notice } from '../model/event.ts'
import type { IncidentId, PoolName, ReplicaName, TaskId } from '../model/ids.ts'
import type { Incident } from '../model/incident.ts'
import type { Json } from '../model/json.ts'
import type { OperatorCommand } from '../model/observation.ts'
import type { HealthReport, ProbeKind } from '../model/probe.ts'
import type { DependencyView, Explanation, NodeView, PoolView, ReplicaView } from '../model/snapshot.ts'
import type { SubmitOutcome, TaskView } from '../model/task.ts'
import type { LogLine } from './process-host.ts'
import type { AuditRow, IncidentQuery, Page, ResolveAnswer, ResolveOutcome, RetryOutcome, TaskQuery } from './store.ts'

/** A task as it comes through a door: names are checked, times are relative or absolute ms. */
export interface Submission {
  readonly input: Json
  readonly priority?: number
  readonly delayMs?: number
  readonly deadlineMs?: number
  readonly idempotencyKey?: string
  readonly needs?: readonly string[]
}

/** One event of the stream: `id` is `epoch.number`, growing within an epoch (one life of the supervisor). */
export interface StreamEvent {
  readonly id: string
  readonly notice: Notice
}

/** What doors (HTTP, the library's own API) may ask of a running node. Reads never ask the tick. */
export interface NodeDoor {
  /** @throws PrunellaError NOT_FOUND for an unknown pool, INVALID, SHUTTING_DOWN. */
  submit(pool: PoolName, tasks: readonly Submission[]): Promise<readonly SubmitOutcome[]>
  task(id: TaskId): Promise<TaskView | null>
  /** Resolves when the task is final or held, or after `timeoutMs`, with what it is then; null when unknown. */
  waitForTask(id: TaskId, timeoutMs: number, signal: AbortSignal): Promise<TaskView | null>
  tasks(query: TaskQuery): Promise<Page<TaskView>>
  retry(id: TaskId, input: Json | undefined, who: string, reason: string): Promise<RetryOutcome>
  resolve(id: TaskId, answer: ResolveAnswer, who: string, reason: string): Promise<ResolveOutcome>
  /** Enters the inbox like any fact; resolves when the tick has decided and committed. */
  operate(command: OperatorCommand, who: string, reason: string): Promise<OperatorAnswer>
  /**
   * Injects a fault for real. Who, what and why are in the ledger before it strikes.
   *
   * @throws PrunellaError FORBIDDEN on a node that was not started for it, NOT_FOUND, CONFLICT (no replica is ready),
   *   INVALID (this pool cannot have this fault).
   */
  inject(request: ChaosRequest, who: string): Promise<Injection>
  /** The newest last. @throws PrunellaError FORBIDDEN on a node that was not started for it. */
  injections(): readonly Injection[]

  node(): NodeView
  pools(): readonly PoolView[]
  replicas(): readonly ReplicaView[]
  dependencies(): readonly DependencyView[]
  /** Null for a pool or replica that does not exist. */
  health(kind: ProbeKind, scope: { readonly pool?: PoolName; readonly replica?: string }): HealthReport | null
  logs(replica: ReplicaName): readonly LogLine[]

  incident(id: IncidentId): Promise<Incident | null>
  incidents(query: IncidentQuery): Promise<Page<Incident>>
  audit(limit: number): Promise<readonly AuditRow[]>
  /** One paragraph about a replica, task or incident; null when there is no such thing. */
  why(subject: string): Promise<Explanation | null>

  /**
   * Calls `listener` for each event after `lastEventId`, at once for those still
   * kept. Returns `missed: true` when older ones are gone, so that the reader fetches anew.
   */
  subscribe(
    lastEventId: string | null,
    listener: (event: StreamEvent) => void,
  ): { readonly missed: boolean; readonly stop: () => void }
  metrics(): Promise<string>
}
