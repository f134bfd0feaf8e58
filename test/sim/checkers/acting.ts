import type { TaskId } from '../../../src/model/ids.ts'
import type { Checker, ProcessName, Trace, TraceEvent } from '../trace.ts'
import type { LedgerChecker } from './ledger.ts'

interface Actor extends ProcessName {
  readonly fence: number
}

/**
 * Two attempts of one task never act at once; a finished step never runs
 * again, nor does one in doubt unless a person was asked; a task goes on only
 * when its old holder has let go. Excused is only a process that survives
 * SIGKILL, which the supervisor was told.
 */
export class ActingChecker implements Checker {
  readonly rule = 'acting'
  readonly sees = ['acting', 'process', 'post', 'committed'] as const
  private readonly trace: Trace
  private readonly ledger: LedgerChecker
  private readonly actors = new Map<TaskId, Actor[]>()
  private readonly givenUp = new Set<string>()

  constructor(trace: Trace, ledger: LedgerChecker) {
    this.trace = trace
    this.ledger = ledger
  }

  see(event: TraceEvent): void {
    if (event.kind === 'acting') {
      if (event.on) this.begin(event)
      else this.end(event.taskId, (actor) => actor.fence === event.fence)
    } else if (event.kind === 'process') {
      if (event.what === 'given_up') this.givenUp.add(keyOf(event))
      if (event.what === 'given_up' || event.what === 'gone') {
        const key = keyOf(event)
        for (const taskId of [...this.actors.keys()]) this.end(taskId, (actor) => keyOf(actor) === key)
      }
    } else if (event.kind === 'post') {
      if (event.verdict === 'old_fence' && !this.givenUp.has(keyOf(event.post)))
        this.trace.violate(
          'act_once',
          `${keyOf(event.post)} posted ${event.post.taskId} under fence ${event.post.fence} after a newer attempt had acted`,
        )
    } else if (event.kind === 'committed') {
      event.result.outcomes.forEach((outcome, at) => {
        if (outcome === 'applied')
          for (const change of event.batch.decisions[at] ?? [])
            if (change.kind === 'end_attempt' && change.next.status === 'queued') this.mustHaveLetGo(change.taskId)
      })
    }
  }

  private begin(event: TraceEvent & { readonly kind: 'acting' }): void {
    // What was given up is out of anybody's reach: whatever it still does is refused by its fence.
    if (this.givenUp.has(keyOf(event))) return
    const { taskId, fence, replica, incarnation, step } = event
    const others = this.actors.get(taskId) ?? []
    const other = others[0]
    if (other !== undefined)
      this.trace.violate(
        'act_once',
        `${taskId} acts in ${keyOf(event)} (fence ${fence}) while ${keyOf(other)} (fence ${other.fence}) still does`,
      )
    const known = this.ledger.tasks.get(taskId)
    if (step !== '' && fence > (known?.inDoubt.get(step) ?? fence))
      this.trace.violate(
        'asked_first',
        `${taskId} runs ${step} again, which has started, has no result, and asks for a person`,
      )
    if (step !== '' && known?.doneSteps.has(step) === true)
      this.trace.violate('steps_once', `${taskId} runs ${step} again, which is in the journal`)
    this.actors.set(taskId, [...others, { fence, replica, incarnation }])
  }

  private end(taskId: TaskId, isEnding: (actor: Actor) => boolean): void {
    const rest = (this.actors.get(taskId) ?? []).filter((actor) => !isEnding(actor))
    if (rest.length === 0) this.actors.delete(taskId)
    else this.actors.set(taskId, rest)
  }

  private mustHaveLetGo(taskId: TaskId): void {
    const actor = this.actors.get(taskId)?.[0]
    if (actor !== undefined)
      this.trace.violate(
        'let_go_first',
        `${taskId} went back to the queue while ${keyOf(actor)} still acts on it under fence ${actor.fence}`,
      )
  }
}

export function keyOf(name: ProcessName): string {
  return `${name.replica}#${name.incarnation}`
}
