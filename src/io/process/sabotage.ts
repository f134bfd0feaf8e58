import { type ChaosFault, type ChaosStrike, chaosTable } from '../../model/chaos.ts'
import type { ReplicaName, TaskId } from '../../model/ids.ts'
import { limits } from '../../model/limits.ts'
import type { Clock } from '../../port/clock.ts'
import type { HostEffect } from '../../port/process-host.ts'
import type { ChaosOrder, Saboteur } from '../../port/saboteur.ts'
import { sendSignal } from './proc.ts'
import type { Replica } from './replica.ts'

const signals: Partial<Record<ChaosFault, NodeJS.Signals>> = {
  crash: 'SIGKILL',
  segfault: 'SIGSEGV',
  freeze: 'SIGSTOP',
}

type Dispatch = Extract<HostEffect, { readonly kind: 'dispatch' }>

interface Armed {
  readonly order: ChaosOrder
  readonly struck: (strike: ChaosStrike) => void
  readonly untilMs: number
}

/** Breaks processes on purpose. What a process host does otherwise knows nothing of it. */
export class Sabotage implements Saboteur {
  readonly #clock: Clock
  readonly #find: (name: ReplicaName) => Replica | undefined
  /** Strikes the replica's next task. */
  readonly #armed = new Map<ReplicaName, Armed>()
  /** Tasks that strike every replica. */
  readonly #poisoned = new Map<TaskId, Armed>()
  /** Which dependencies fail, and until when. */
  readonly #outagesMs = new Map<string, number>()

  constructor(clock: Clock, find: (name: ReplicaName) => Replica | undefined) {
    this.#clock = clock
    this.#find = find
  }

  strike(order: ChaosOrder, struck: (strike: ChaosStrike) => void): void {
    const nowMs = this.#clock.nowMs()
    const { fault, replica: name } = order
    const signal = signals[fault]
    if (signal === undefined) {
      this.#armed.set(name, { order, struck, untilMs: nowMs + limits.chaosArmedMs })
      return
    }
    const replica = this.#find(name)
    const pid = replica?.processes()[0]?.pid
    if (replica === undefined || pid === undefined || !sendSignal(pid, signal)) return
    struck({ atMs: nowMs, replica: name, incarnation: replica.incarnation, taskId: null })
  }

  outage(dependency: string, forMs: number): void {
    this.#outagesMs.set(dependency, this.#clock.nowMs() + forMs)
  }

  /** A task is about to go out: what goes before it. */
  dispatching({ replica: name, incarnation, lease: { taskId, fence } }: Dispatch, replica: Replica): void {
    const nowMs = this.#clock.nowMs()
    // Also to a process that was not there when it began.
    for (const [dependency, untilMs] of this.#outagesMs)
      if (nowMs < untilMs) replica.sabotage({ type: 'outage', dependency, forMs: untilMs - nowMs })
    const armed = this.#poisoned.get(taskId) ?? this.#armed.get(name)
    if (armed === undefined) return
    if (armed === this.#armed.get(name)) this.#armed.delete(name)
    if (nowMs >= armed.untilMs) return
    const { fault, forMs, memoryBytes } = armed.order
    // The task carries it on: to be buried, it has to be met by several.
    if (chaosTable[fault].task === 'dead_letter')
      this.#poisoned.set(taskId, { ...armed, untilMs: nowMs + limits.chaosMs })
    replica.sabotage({ type: 'misbehave', task: taskId, fence, fault, forMs, memoryBytes })
    armed.struck({ atMs: nowMs, replica: name, incarnation, taskId })
  }
}
