import { parseReplicaName, type ReplicaName, type TaskId } from '../../../src/model/ids.ts'
import type { PoolSpec } from '../../../src/model/pool.ts'
import type { Scenario } from '../scenario.ts'
import type { Checker, ProcessName, Trace, TraceEvent, Wound } from '../trace.ts'
import { keyOf } from './acting.ts'
import type { LedgerChecker } from './ledger.ts'
import type { Places } from './places.ts'

/**
 * A wound that has healed may still be answered for so long, and while the store
 * fails: the verdict was on its way, ms. So it was while the supervisor slept
 * with a store that failed.
 */
const healedExcuseMs = 30_000

/**
 * R7: nobody is ended or reset who is inside its deadlines. The simulator knows
 * what is really wrong with whom; everything else needs a person's word, or a
 * deadline of the submitter. R12: in a pool that is only observed what is wrong
 * excuses nothing: every living process is left alone. An outage that its own
 * check does not see looks like a fault of whoever meets it first (R1: the check
 * is the second witness), until it is known.
 */
export class WrongKillChecker implements Checker {
  readonly rule = 'slow_is_not_dead'
  readonly sees = [
    'commit_failed',
    'supervisor',
    'wound',
    'operator',
    'effect',
    'process',
    'observed',
    'provider',
    'committed',
  ] as const
  private readonly trace: Trace
  private readonly ledger: LedgerChecker
  private readonly places: Places
  private readonly pools: readonly PoolSpec[]
  /** What is wrong with each process now, and when something healed last. */
  private readonly open = new Map<string, Set<Wound>>()
  private readonly healedMs = new Map<string, number>()
  /** Replicas that a person named, with the exits for which that holds: the word may come late, to the next process. */
  private readonly excusedExits = new Map<string, number>()
  private readonly excusedTasks = new Set<TaskId>()
  private readonly gone = new Set<string>()
  private readonly isUnseen: boolean
  /** The newest transaction was refused: what it holds is still to be written. */
  private storeFails = false
  /** Until when an outage that no check sees may be taken for a fault; and since when it is known. */
  private unseenUntilMs = Number.NEGATIVE_INFINITY
  private knownMs = Number.POSITIVE_INFINITY

  constructor(trace: Trace, ledger: LedgerChecker, places: Places, scenario: Pick<Scenario, 'pools' | 'isUnseen'>) {
    this.trace = trace
    this.ledger = ledger
    this.places = places
    this.pools = scenario.pools
    this.isUnseen = scenario.isUnseen
  }

  see(event: TraceEvent, atMs: number): void {
    switch (event.kind) {
      case 'wound':
        this.wounded(event, atMs)
        return
      case 'provider':
        if (this.isUnseen) this.unseenUntilMs = event.up ? atMs + healedExcuseMs : Number.POSITIVE_INFINITY
        return
      case 'committed':
        this.storeFails = false
        for (const change of event.batch.decisions.flat())
          if (change.kind === 'dependency') this.knownMs = change.record.down?.sinceMs ?? Number.POSITIVE_INFINITY
        return
      case 'commit_failed':
        this.storeFails = true
        this.excuseHealed(atMs)
        return
      case 'supervisor':
        if (event.what === 'born')
          this.storeFails = false // What was not written died with the one before.
        else if (event.what === 'woke' && this.storeFails) this.excuseHealed(atMs)
        return
      case 'process':
        if (event.what !== 'gone') return
        this.gone.add(keyOf(event))
        this.excusedExits.set(event.replica, (this.excusedExits.get(event.replica) ?? 0) - 1)
        return
      case 'operator':
        if ('replica' in event.command) this.excusedExits.set(event.command.replica, 2)
        if (event.command.kind === 'cancel') this.excusedTasks.add(event.command.taskId)
        return
      case 'observed':
        // The host itself has given the attempt up.
        if (event.observation.kind === 'lease_expired') this.excusedTasks.add(event.observation.taskId)
        return
      case 'effect':
        if (event.effect.kind === 'terminate') this.terminated(event.effect, atMs)
        else if (event.effect.kind === 'reset') this.reset(event.effect, atMs)
        return
      default:
    }
  }

  private excuseHealed(atMs: number): void {
    for (const key of this.healedMs.keys()) this.healedMs.set(key, atMs)
  }

  private wounded(event: TraceEvent & { readonly kind: 'wound' }, atMs: number): void {
    const key = keyOf(event)
    const wounds = this.open.get(key) ?? new Set()
    this.open.set(key, wounds)
    if (!event.healed) wounds.add(event.wound)
    else if (wounds.delete(event.wound)) this.healedMs.set(key, atMs)
  }

  private isExcused(name: ProcessName, atMs: number): boolean {
    const key = keyOf(name)
    const healedAgoMs = atMs - (this.healedMs.get(key) ?? Number.NEGATIVE_INFINITY)
    return (
      this.gone.has(key) ||
      (this.excusedExits.get(name.replica) ?? 0) > 0 ||
      // A drain that was decided before it was known may end after that.
      (atMs <= this.unseenUntilMs && atMs - this.knownMs <= healedExcuseMs) ||
      (!this.isObserved(name.replica) && ((this.open.get(key)?.size ?? 0) > 0 || healedAgoMs <= healedExcuseMs))
    )
  }

  private isObserved(replica: ReplicaName): boolean {
    const pool = parseReplicaName(replica)?.pool
    return this.pools.some(({ name, recovery }) => name === pool && recovery.mode === 'observe')
  }

  /** The rule that ending or resetting one of it breaks. */
  private ruleFor(replica: ReplicaName): string {
    return this.isObserved(replica) ? 'observe_only' : this.rule
  }

  private terminated(effect: ProcessName, atMs: number): void {
    if (!this.isExcused(effect, atMs) && !this.places.mayBeRetired(effect.replica, atMs))
      this.trace.violate(this.ruleFor(effect.replica), `${keyOf(effect)} is terminated, and nothing is wrong with it`)
  }

  private reset(effect: ProcessName & { readonly taskId: TaskId; readonly reason: string }, atMs: number): void {
    const deadlineMs = this.ledger.tasks.get(effect.taskId)?.deadlineMs ?? Number.POSITIVE_INFINITY
    if (this.isExcused(effect, atMs) || this.excusedTasks.has(effect.taskId) || deadlineMs <= atMs) return
    this.trace.violate(
      this.ruleFor(effect.replica),
      `${effect.taskId} is taken from ${keyOf(effect)} (${effect.reason}), and nothing is wrong with it`,
    )
  }
}
