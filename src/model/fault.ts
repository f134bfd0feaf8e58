import type { PoolName, ReplicaName, TaskId } from './ids.ts'

/** A diagnosis. Adding one: a detector in `policy/`, a row in `policy/fault-table.ts`, a line in the docs. */
export type FaultKind =
  | 'crashed'
  | 'exited'
  | 'out_of_memory'
  | 'start_failed'
  | 'unresponsive'
  | 'stalled'
  | 'protocol_violation'
  | 'task_failed'
  | 'tool_loop'
  | 'context_overflow'
  | 'budget_exceeded'
  | 'leaking'
  | 'fd_leak'
  | 'llm_unavailable'
  | 'database_unavailable'
  | 'tool_unavailable'
  | 'dependency_unavailable'
  | 'poison'
  | 'defective_agent'
  | 'supervisor_paused'
  | 'operator'

/** Whose fault it is. Decided before anything is done about it (R1). */
export type Culprit = 'agent' | 'task' | 'dependency' | 'node' | 'unknown'

export interface Fault {
  readonly kind: FaultKind
  readonly culprit: Culprit
  /** Null when it concerns more than one pool: a dependency that is down. */
  readonly pool: PoolName | null
  readonly replica: ReplicaName | null
  readonly incarnation: number | null
  /** The attempt that showed it, where it was one. */
  readonly taskId: TaskId | null
  /** When the first sign was there, clock ms: detection time is counted from here. */
  readonly firstSignMs: number
  /** What was seen, in words a person can check; newest last. Never empty. */
  readonly evidence: readonly string[]
  /** The dependency that its evidence names, or null. */
  readonly dependency: string | null
}

/** What is done about a fault. */
export type ActionKind =
  | 'nudge'
  | 'compact'
  | 'soft_restart'
  | 'drain'
  | 'hard_restart'
  | 'replace'
  | 'quarantine'
  | 'release'
  | 'hold'
  | 'resume'
  | 'requeue'
  | 'fail_task'
  | 'dead_letter'

/** The rungs of the ladder, mildest first (R3). */
export type Rung = 'soft_restart' | 'hard_restart' | 'quarantine'
