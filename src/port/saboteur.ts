import type { ChaosFault, ChaosStrike } from '../model/chaos.ts'
import type { ReplicaName } from '../model/ids.ts'

/** A fault for one replica. */
export interface ChaosOrder {
  readonly fault: ChaosFault
  readonly replica: ReplicaName
  readonly forMs: number
  /** The pool's limit, 0 without one. */
  readonly memoryBytes: number
}

/** Breaks what a process host runs, on purpose. Nobody tells the supervisor: it has to notice. */
export interface Saboteur {
  /** A signal goes out at once; a fault of an attempt waits for the replica's next task. `struck` is told when it hits. */
  strike(order: ChaosOrder, struck: (strike: ChaosStrike) => void): void
  /** From now on, calls of module agents that use this dependency fail. */
  outage(dependency: string, forMs: number): void
}
