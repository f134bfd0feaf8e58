import type { PoolName, ReplicaName, TaskId } from '../model/ids.ts'
import type { Allowance } from '../model/spent.ts'

/** An incarnation whose model calls come through us. */
export interface Caller {
  readonly pool: PoolName
  readonly replica: ReplicaName
  readonly incarnation: number
}

/** An attempt that its host has in hand and was not asked to let go. */
export interface RunningAttempt {
  readonly taskId: TaskId
  readonly fence: number
  /** What it might spend on model calls when it was dispatched; null: nothing is limited. */
  readonly left: Allowance | null
}

/** What an incarnation is given to reach the model providers. */
export interface Admission {
  /** For its environment: they lead its calls to us, with a token in the place of every key. Its shape is on the redaction list. */
  readonly variables: Readonly<Record<string, string>>
  /** A hint that goes into the attempt's next call, where its pool allows that. */
  nudge(taskId: TaskId, fence: number, text: string): void
  /** It is gone: what it still has open is cut, and its token opens nothing any more. */
  revoke(): void
}

/** The way of replicas to the models. */
export interface ModelDoor {
  /** @param running  Asked at each call. */
  admit(caller: Caller, running: () => readonly RunningAttempt[]): Admission
}
