import type { ChaosFault, ChaosStrike } from '../../model/chaos.ts'
import type { ReplicaName } from '../../model/ids.ts'
import type { Clock } from '../../port/clock.ts'
import type { ChaosOrder, Saboteur } from '../../port/saboteur.ts'
import { sendSignal } from './proc.ts'
import type { Replica } from './replica.ts'

const signals: Partial<Record<ChaosFault, NodeJS.Signals>> = {
  crash: 'SIGKILL',
  segfault: 'SIGSEGV',
  freeze: 'SIGSTOP',
}

/** Breaks processes on purpose. What a process host does otherwise knows nothing of it. */
export class Sabotage implements Saboteur {
  readonly #clock: Clock
  readonly #find: (name: ReplicaName) => Replica | undefined

  constructor(clock: Clock, find: (name: ReplicaName) => Replica | undefined) {
    this.#clock = clock
    this.#find = find
  }

  strike({ fault, replica: name }: ChaosOrder, struck: (strike: ChaosStrike) => void): void {
    const signal = signals[fault]
    const replica = this.#find(name)
    const pid = replica?.processes()[0]?.pid
    if (signal === undefined || replica === undefined || pid === undefined || !sendSignal(pid, signal)) return
    struck({ atMs: this.#clock.nowMs(), replica: name, incarnation: replica.incarnation, taskId: null })
  }
}
