import type { Change } from '../../../src/model/change.ts'
import type { TaskId } from '../../../src/model/ids.ts'
import type { PoolSpec } from '../../../src/model/pool.ts'
import type { TaskView } from '../../../src/model/task.ts'
import type { Checker, Trace, TraceEvent } from '../trace.ts'
import { keyOf } from './acting.ts'
import type { LedgerChecker } from './ledger.ts'
import type { Refunds } from './outage.ts'
import type { Places } from './places.ts'

/** A supervisor that has not looked for so long, in a world without pauses, is not looking, ms. */
const longestSweepMs = 10_000

/** R9: every action has an incident with evidence, written before it is carried out. R11: the healer reports itself. */
export class EvidenceChecker implements Checker {
  readonly rule = 'evidence'
  readonly sees = ['committed', 'effect', 'operator', 'observed', 'ticked'] as const
  private readonly trace: Trace
  private readonly ledger: LedgerChecker
  private readonly places: Places
  /** Processes and tasks that an action in a committed incident names. */
  private readonly actedOn = new Set<string>()
  private readonly excusedTasks = new Set<TaskId>()
  /** Tasks whose burial stands in a committed incident: one that is too large is let go of first. */
  private readonly buried = new Set<TaskId>()

  constructor(trace: Trace, ledger: LedgerChecker, places: Places) {
    this.trace = trace
    this.ledger = ledger
    this.places = places
  }

  see(event: TraceEvent, atMs: number): void {
    switch (event.kind) {
      case 'committed':
        event.batch.decisions.forEach((changes, at) => {
          if (event.result.outcomes[at] === 'applied') this.decided(changes)
        })
        return
      case 'operator':
        // Written as an audit row, not as an incident: there is no fault.
        if (event.command.kind === 'cancel') this.excusedTasks.add(event.command.taskId)
        return
      case 'observed':
        if (event.observation.kind === 'lease_expired') this.excusedTasks.add(event.observation.taskId)
        return
      case 'effect':
        if (
          event.effect.kind === 'terminate' &&
          !this.actedOn.has(keyOf(event.effect)) &&
          !this.places.mayBeRetired(event.effect.replica, atMs)
        )
          this.trace.violate(this.rule, `${keyOf(event.effect)} is terminated without an action in an incident`)
        if (event.effect.kind === 'reset') {
          const deadlineMs = this.ledger.tasks.get(event.effect.taskId)?.deadlineMs ?? Number.POSITIVE_INFINITY
          if (
            !this.actedOn.has(keyOf(event.effect)) &&
            !this.excusedTasks.has(event.effect.taskId) &&
            deadlineMs > atMs
          )
            this.trace.violate(
              this.rule,
              `${event.effect.taskId} is reset in ${keyOf(event.effect)} without an action in an incident`,
            )
        }
        return
      case 'ticked':
        if (atMs - event.lastSweepMs > longestSweepMs)
          this.trace.violate('healer_is_watched', `the last sweep was ${atMs - event.lastSweepMs} ms ago`)
        return
      default:
    }
  }

  private decided(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind !== 'incident') continue
      const { incident } = change
      if (incident.fault.evidence.length === 0 || incident.timeline.length === 0)
        this.trace.violate(this.rule, `${incident.id} has no evidence`)
      for (const { kind, replica, incarnation } of incident.actions) {
        if (replica !== null && incarnation !== null) this.actedOn.add(keyOf({ replica, incarnation }))
        if (kind === 'dead_letter' && incident.taskId !== null) this.buried.add(incident.taskId)
      }
    }
    for (const change of changes) {
      if (change.kind !== 'end_attempt' || change.next.status !== 'dead_letter') continue
      if (!this.buried.has(change.taskId))
        this.trace.violate(this.rule, `${change.taskId} went to the dead letters, and no incident says so`)
    }
  }
}

/** Every acknowledged task has ended, in a way that its record explains. */
export function checkEnd(
  trace: Trace,
  pools: readonly PoolSpec[],
  taskId: TaskId,
  task: TaskView | null,
  refunds: Refunds,
): void {
  if (task === null) return trace.violate('not_lost', `${taskId} was acknowledged and is gone`)
  const spec = pools.find((pool) => pool.name === task.pool)
  // A result counts as well.
  const most = (refunds.charged ?? Number.POSITIVE_INFINITY) + (task.status === 'done' ? 1 : 0)
  if (task.countedAttempts > most)
    trace.violate('refunds_kept', `${taskId} has ${task.countedAttempts} counted attempts, and was charged ${most}`)
  switch (task.status) {
    case 'done':
    case 'cancelled':
      return
    case 'failed': {
      const usedUp = task.countedAttempts + refunds.lateRefunds >= (spec?.retry.attempts ?? 0)
      if (!usedUp && task.error?.code !== 'deadline_exceeded')
        trace.violate(
          'attempts_counted',
          `${taskId} failed after ${task.countedAttempts} counted attempts: ${task.reason}`,
        )
      return
    }
    case 'dead_letter': {
      // A stall may have been mended by a soft restart: it cost nobody.
      const lost = task.attempts
        .slice(
          Math.max(
            0,
            task.attempts.findLastIndex(({ attempt }) => attempt === 1),
          ),
        ) // Those before a retry are forgiven.
        .filter(({ counted, outcome }) => counted && outcome !== 'failed' && outcome !== 'stalled').length
      if (lost - refunds.losses > (spec?.recovery.poisonAfter ?? 0))
        trace.violate('poison_bounded', `${taskId} is a dead letter after it cost ${lost} replicas`)
      return
    }
    default:
      trace.violate('drains', `${taskId} is still ${task.status}: ${task.reason ?? 'no reason given'}`)
  }
}
