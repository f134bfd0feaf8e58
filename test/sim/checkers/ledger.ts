import type { Change } from '../../../src/model/change.ts'
import type { ReplicaName, TaskId } from '../../../src/model/ids.ts'
import type { Lease } from '../../../src/model/task.ts'
import type { InheritedLease } from '../../../src/port/store.ts'
import type { Checker, Trace, TraceEvent } from '../trace.ts'

/** A task as its history says it must be, kept beside the store and compared with it. */
export interface ShadowTask {
  status: 'waiting' | 'leased' | 'returning' | 'final'
  fence: number
  /** The fence under which the replica runs it, while it has it. */
  dispatchFence: number
  replica: ReplicaName | null
  incarnation: number
  deadlineMs: number | null
  readonly doneSteps: Set<string>
  /** Steps that a person must be asked about before they run again, with the fence under which they started. */
  readonly inDoubt: Map<string, number>
}

/**
 * At most one valid lease a task; fences only grow; nothing is accepted under
 * an old one; what is final stays so. Other checkers read the shadow.
 */
export class LedgerChecker implements Checker {
  readonly rule = 'ledger'
  readonly sees = ['committed', 'took_over', 'reopened'] as const
  readonly tasks = new Map<TaskId, ShadowTask>()
  private readonly trace: Trace

  constructor(trace: Trace) {
    this.trace = trace
  }

  see(event: TraceEvent): void {
    if (event.kind === 'committed') {
      event.batch.decisions.forEach((changes, at) => {
        if (event.result.outcomes[at] === 'applied') for (const change of changes) this.apply(change)
      })
      for (const leases of event.result.leases) for (const lease of leases) this.lease(lease)
    } else if (event.kind === 'took_over') {
      this.takeOver(event.inheritance.leases)
    } else if (event.kind === 'reopened') {
      const task = this.of(event.taskId)
      task.inDoubt.clear()
      if (event.by === 'resolve') return
      task.status = 'waiting'
      task.doneSteps.clear()
    }
  }

  private of(taskId: TaskId): ShadowTask {
    let task = this.tasks.get(taskId)
    if (task === undefined) {
      task = {
        status: 'waiting',
        fence: 0,
        dispatchFence: 0,
        replica: null,
        incarnation: 0,
        deadlineMs: null,
        doneSteps: new Set(),
        inDoubt: new Map(),
      }
      this.tasks.set(taskId, task)
    }
    return task
  }

  private apply(change: Change): void {
    switch (change.kind) {
      case 'revoke': {
        const task = this.owned(change)
        if (task.status !== 'leased')
          this.trace.violate('one_lease', `revoke of ${change.taskId}, which is ${task.status}`)
        task.status = 'returning'
        task.fence += 1
        return
      }
      case 'end_attempt': {
        const task = this.owned(change)
        const isFinal = change.next.status !== 'queued' && change.next.status !== 'held'
        task.status = isFinal ? 'final' : 'waiting'
        task.replica = null
        if (!isFinal) task.fence += 1
        return
      }
      case 'step_started':
        this.began(this.owned(change), change)
        return
      case 'step_done':
        this.owned(change).doneSteps.add(change.name)
        this.of(change.taskId).inDoubt.delete(change.name)
        return
      case 'finish_waiting': {
        const task = this.of(change.taskId)
        if (task.status !== 'waiting')
          this.trace.violate('one_lease', `finish_waiting of ${change.taskId}, which is ${task.status}`)
        if (change.next.status !== 'queued' && change.next.status !== 'held') task.status = 'final'
        return
      }
      default:
    }
  }

  /** The first start counts: whoever starts it again has not asked. */
  private began({ inDoubt }: ShadowTask, step: Change & { readonly kind: 'step_started' }): void {
    if (step.repeat === 'ask_human' && !inDoubt.has(step.name)) inDoubt.set(step.name, step.fence)
  }

  private owned(change: { readonly kind: string; readonly taskId: TaskId; readonly fence: number }): ShadowTask {
    const task = this.of(change.taskId)
    if (change.fence !== task.fence)
      this.trace.violate(
        'old_fence_accepted',
        `${change.kind} of ${change.taskId} under fence ${change.fence} was applied; the current one is ${task.fence}`,
      )
    else if (task.status !== 'leased' && task.status !== 'returning')
      this.trace.violate('one_lease', `${change.kind} of ${change.taskId}, which is ${task.status}`)
    return task
  }

  private lease(lease: Lease): void {
    const task = this.of(lease.taskId)
    if (task.status !== 'waiting')
      this.trace.violate(
        'one_lease',
        `${lease.taskId} was given to ${lease.replica} while it is ${task.status} by ${task.replica}`,
      )
    if (lease.fence <= task.fence)
      this.trace.violate('fences_grow', `${lease.taskId} was leased under fence ${lease.fence} after ${task.fence}`)
    const { fence, replica, incarnation, deadlineMs } = lease
    Object.assign(task, { status: 'leased', fence, dispatchFence: fence, replica, incarnation, deadlineMs })
  }

  private takeOver(leases: readonly InheritedLease[]): void {
    const left = new Map(leases.map((lease) => [lease.taskId, lease]))
    for (const [taskId, task] of this.tasks) {
      const lease = left.get(taskId)
      const wasHeld = task.status === 'leased' || task.status === 'returning'
      if (wasHeld !== (lease !== undefined))
        this.trace.violate(
          'not_lost',
          `takeover ${wasHeld ? 'forgot' : 'invented'} the lease of ${taskId} (${task.status})`,
        )
      if (lease === undefined) continue
      if (lease.fence <= task.fence)
        this.trace.violate('fences_grow', `the takeover left ${taskId} under fence ${lease.fence} after ${task.fence}`)
      task.status = 'returning'
      task.fence = lease.fence
    }
  }
}
