import type { PoolName, ReplicaName, TaskId } from './ids.ts'
import type { Allowance } from './spent.ts'
import type { Lease } from './task.ts'

/**
 * What is carried out after its decision is committed. Each names an
 * incarnation or a fence, so carrying one out twice, or late, does nothing.
 */
export type Effect =
  | { readonly kind: 'spawn'; readonly replica: ReplicaName; readonly incarnation: number; readonly pool: PoolName }
  /** SIGTERM, `graceMs`, SIGKILL to the process group, two seconds, `unkillable`. Grace 0 is SIGKILL at once. */
  | {
      readonly kind: 'terminate'
      readonly replica: ReplicaName
      readonly incarnation: number
      readonly graceMs: number
    }
  | {
      readonly kind: 'dispatch'
      readonly replica: ReplicaName
      readonly incarnation: number
      readonly lease: Lease
      readonly leaseMs: number
      /** What the task may still spend on model calls, for the host to keep as well; absent: as much as it likes. */
      readonly left?: Allowance
    }
  /** The start or the end of a journaled call is durable. */
  | {
      readonly kind: 'ack'
      readonly replica: ReplicaName
      readonly incarnation: number
      readonly taskId: TaskId
      readonly fence: number
      readonly call: number
      readonly phase: 'start' | 'end'
      /** False: the fence is stale, the agent must stop. */
      readonly accepted: boolean
    }
  /** Abort the attempt of this fence, wait until it has settled, forget its context. */
  | {
      readonly kind: 'reset'
      readonly replica: ReplicaName
      readonly incarnation: number
      readonly taskId: TaskId
      /** The fence under which the attempt was dispatched. */
      readonly fence: number
      readonly reason: string
    }
  /** A hint for the agent, read by `ctx.nudges()` when it wants to. A command without protocol has no ear: nothing happens. */
  | {
      readonly kind: 'nudge'
      readonly replica: ReplicaName
      readonly incarnation: number
      readonly taskId: TaskId
      readonly fence: number
      readonly text: string
    }
  /**
   * Ask the agent to make the attempt's context smaller: answers `compacted` or `compact_failed`. The host keeps no
   * deadline: an answer that has not come after `timeoutMs` is for the supervisor to judge. One at a time for each
   * attempt: a second one while the first is unanswered is the same question. Of an attempt that is over no answer comes.
   */
  | {
      readonly kind: 'compact'
      readonly replica: ReplicaName
      readonly incarnation: number
      readonly taskId: TaskId
      readonly fence: number
      readonly timeoutMs: number
      readonly reason: string
    }
  /** The supervisor is alive: the host may go on for `leaseMs`. */
  | { readonly kind: 'lease'; readonly replica: ReplicaName; readonly incarnation: number; readonly leaseMs: number }
  | { readonly kind: 'ping'; readonly replica: ReplicaName; readonly incarnation: number; readonly ping: number }
  | {
      readonly kind: 'check'
      readonly replica: ReplicaName
      readonly incarnation: number
      readonly probe: number
      readonly timeoutMs: number
    }
  | { readonly kind: 'look'; readonly replica: ReplicaName; readonly incarnation: number }
  /** Ask a blocked process where it is stuck; answers `stack` (empty when it cannot tell) within a second. */
  | { readonly kind: 'capture_stack'; readonly replica: ReplicaName; readonly incarnation: number }
  /** Ask a shared dependency once; answers `dependency_checked`. */
  | { readonly kind: 'probe'; readonly dependency: string }
  | { readonly kind: 'answer'; readonly request: number; readonly answer: OperatorAnswer }

export type OperatorAnswer =
  | { readonly kind: 'accepted'; readonly incidentId: string | null; readonly text: string }
  | { readonly kind: 'not_found'; readonly text: string }
  | { readonly kind: 'conflict'; readonly text: string }
