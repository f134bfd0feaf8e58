import { assertNever } from '../../src/model/assert.ts'
import type { ReplicaName } from '../../src/model/ids.ts'
import type { OperatorCommand } from '../../src/model/observation.ts'
import type { SimClock } from './clock.ts'
import type { Machine } from './host.ts'
import type { Provider } from './provider.ts'

/** Something planned: it happens at its time after the start, or as soon afterwards as it can. `task` counts the submitted ones. */
export type Deed = { readonly atMs: number } & (
  | { readonly kind: 'crash_holder'; readonly task: number }
  | { readonly kind: 'hang'; readonly replica: ReplicaName }
  | { readonly kind: 'crash_supervisor' }
  | { readonly kind: 'break_dependency'; readonly forMs: number; readonly keptBy?: readonly ReplicaName[] }
  | { readonly kind: 'sever'; readonly replica: ReplicaName }
  | { readonly kind: 'operate'; readonly command: OperatorCommand }
  | { readonly kind: 'retry' | 'cancel'; readonly task: number }
  /** Anything else that can befall the machine. */
  | { readonly kind: 'do'; readonly what: (stage: Stage) => boolean }
)

/** Whom deeds are done to. What answers false could not be done yet. */
export interface Stage {
  readonly machine: Machine
  readonly provider: Provider
  readonly taskIds: readonly string[]
  crashSupervisor(callsFromNow: number): boolean
  operate(command: OperatorCommand): boolean
  retry(taskId: string): boolean
  isOver(): boolean
}

const againMs = 100

export function plan(deeds: readonly Deed[], clock: SimClock, stage: Stage): void {
  const attempt = (deed: Deed): void => {
    if (!stage.isOver() && !carryOut(deed, stage)) clock.after(againMs, () => attempt(deed))
  }
  for (const deed of deeds) clock.after(deed.atMs, () => attempt(deed))
}

function carryOut(deed: Deed, stage: Stage): boolean {
  switch (deed.kind) {
    case 'crash_holder': {
      const taskId = stage.taskIds[deed.task]
      const holder = stage.machine.alive.find((process) =>
        process.running.some((attempt) => attempt.lease.taskId === taskId),
      )
      holder?.exit('exit')
      return holder !== undefined
    }
    case 'hang': {
      const process = stage.machine.alive.find(({ replica, phase }) => replica === deed.replica && phase === 'ready')
      process?.seize('loop', Number.POSITIVE_INFINITY)
      return process !== undefined
    }
    case 'crash_supervisor':
      return stage.crashSupervisor(1)
    case 'break_dependency':
      stage.provider.break(deed.forMs, deed.keptBy)
      return true
    case 'sever': {
      const process = stage.machine.alive.find(({ replica, phase }) => replica === deed.replica && phase === 'ready')
      process?.sever()
      return process !== undefined
    }
    case 'operate':
      return stage.operate(deed.command)
    case 'cancel':
      return stage.operate({ kind: 'cancel', taskId: stage.taskIds[deed.task] ?? 'none' })
    case 'retry':
      return stage.retry(stage.taskIds[deed.task] ?? 'none')
    case 'do':
      return deed.what(stage)
    default:
      return assertNever(deed)
  }
}
