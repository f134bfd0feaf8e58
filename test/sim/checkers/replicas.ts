import { type PoolName, parseReplicaName, type ReplicaName, type TaskId } from '../../../src/model/ids.ts'
import type { PoolSpec } from '../../../src/model/pool.ts'
import type { Checker, ProcessName, Trace, TraceEvent } from '../trace.ts'
import { keyOf } from './acting.ts'
import type { LedgerChecker } from './ledger.ts'

/**
 * Frames of an old incarnation change nothing: nobody is dispatched to before
 * its own `ready`, no lease is renewed without its holder's own sign of life,
 * no task is done without its own `done`, and a place has one process at a time.
 */
export class ReplicaChecker implements Checker {
  readonly rule = 'replicas'
  readonly sees = [
    'pulse',
    'observed',
    'effect',
    'process',
    'committed',
    'commit_failed',
    'store_failed',
    'supervisor',
  ] as const
  private readonly trace: Trace
  private readonly ledger: LedgerChecker
  private readonly leaseMs: ReadonlyMap<PoolName, number>
  private readonly newest = new Map<ReplicaName, number>()
  private readonly processes = new Map<ReplicaName, Set<number>>()
  private readonly ready = new Set<string>()
  /** When the newest process of each place last gave a sign of life. */
  private readonly signs = new Map<ReplicaName, { readonly incarnation: number; atMs: number }>()
  private storeFails = false
  private readonly results = new Set<string>()

  constructor(trace: Trace, ledger: LedgerChecker, pools: readonly PoolSpec[]) {
    this.leaseMs = new Map(pools.map((pool) => [pool.name, pool.leaseMs]))
    this.trace = trace
    this.ledger = ledger
  }

  see(event: TraceEvent, atMs: number): void {
    if (event.kind === 'observed') this.observed(event.observation)
    else if (event.kind === 'effect') this.effect(event.effect)
    else if (event.kind === 'supervisor') {
      if (event.what === 'woke') this.forgive(atMs)
    } else if (event.kind === 'commit_failed' || event.kind === 'store_failed') {
      this.storeFails = true
    } else if (event.kind === 'process') {
      if (event.what === 'spawned') this.processesOf(event.replica).add(event.incarnation)
      else if (event.what !== 'orphaned') this.processesOf(event.replica).delete(event.incarnation)
    } else if (event.kind === 'committed') {
      if (this.storeFails) this.forgive(atMs)
      this.storeFails = false
      event.batch.decisions.forEach((changes, at) => {
        if (event.result.outcomes[at] === 'applied') for (const change of changes) this.changed(change)
      })
    }
  }

  /** A supervisor that was away, or had no store, gives everybody that time back: once, this prolongs their leases too (R11). */
  private forgive(atMs: number): void {
    for (const sign of this.signs.values()) sign.atMs = atMs
  }

  private processesOf(replica: ReplicaName): Set<number> {
    let processes = this.processes.get(replica)
    if (processes === undefined) {
      processes = new Set()
      this.processes.set(replica, processes)
    }
    return processes
  }

  private observed(observation: (TraceEvent & { readonly kind: 'observed' })['observation']): void {
    if (!('replica' in observation)) return
    const { kind } = observation
    if (kind === 'pulse' || kind === 'pong' || kind === 'ready') this.alive(observation, observation.atMs)
    if (observation.kind === 'ready') this.ready.add(keyOf(observation))
    else if (observation.kind === 'done') this.results.add(`${observation.taskId}@${observation.fence}`)
  }

  private alive({ replica, incarnation }: ProcessName, atMs: number): void {
    const sign = this.signs.get(replica)
    if (sign === undefined || incarnation > sign.incarnation) this.signs.set(replica, { incarnation, atMs })
    else if (incarnation === sign.incarnation) sign.atMs = atMs
  }

  private effect(effect: (TraceEvent & { readonly kind: 'effect' })['effect']): void {
    if (effect.kind === 'spawn') {
      const running = [...this.processesOf(effect.replica)]
      if (running.length > 0)
        this.trace.violate(
          'one_process',
          `${keyOf(effect)} is spawned while incarnation ${running.join(', ')} is alive`,
        )
      if (effect.incarnation <= (this.newest.get(effect.replica) ?? 0))
        this.trace.violate(
          'incarnations_grow',
          `${keyOf(effect)} is spawned after incarnation ${this.newest.get(effect.replica)}`,
        )
      this.newest.set(effect.replica, effect.incarnation)
    } else if (effect.kind === 'dispatch') {
      if (!this.ready.has(keyOf(effect)))
        this.trace.violate(
          'ghosts',
          `${effect.lease.taskId} is dispatched to ${keyOf(effect)}, which has not said that it is ready`,
        )
    }
  }

  private changed(change: (TraceEvent & { readonly kind: 'committed' })['batch']['decisions'][number][number]): void {
    if (change.kind === 'renew') {
      this.renewed(change.leases, change.untilMs)
    } else if (
      change.kind === 'end_attempt' &&
      change.outcome === 'done' &&
      !this.results.has(`${change.taskId}@${change.fence}`)
    ) {
      this.trace.violate('ghosts', `${change.taskId} is done under fence ${change.fence}, which nobody reported`)
    }
  }

  /** A lease reaches no further than its length after the last sign of life. */
  private renewed(leases: readonly { readonly taskId: TaskId; readonly fence: number }[], untilMs: number): void {
    for (const { taskId, fence } of leases) {
      const task = this.ledger.tasks.get(taskId)
      if (task === undefined || task.fence !== fence || task.replica === null) continue
      const leaseMs = this.leaseMs.get(parseReplicaName(task.replica)?.pool ?? '') ?? 0
      const sign = this.signs.get(task.replica)
      const signMs = sign?.incarnation === task.incarnation ? sign.atMs : Number.NEGATIVE_INFINITY
      if (untilMs > signMs + leaseMs)
        this.trace.violate(
          'renewed_by_pulse',
          `the lease of ${taskId} was renewed for longer than ${task.replica}#${task.incarnation} gave a sign of life`,
        )
    }
  }
}
