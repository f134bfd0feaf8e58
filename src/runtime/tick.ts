import { assertNever } from '../model/assert.ts'
import type { Claim } from '../model/change.ts'
import type { Effect } from '../model/effect.ts'
import type { PoolName, ReplicaName } from '../model/ids.ts'
import type { AttemptObservation, NodeObservation, Observation, ReplicaObservation } from '../model/observation.ts'
import type { AttemptRow, ReplicaRow } from '../model/rows.ts'
import { decideReplica } from '../policy/decide.ts'
import { forgive, forgiveDependency, forgivePool } from '../policy/forgive.ts'
import { isSilent } from '../policy/health/pulse.ts'
import { onRunFact } from '../policy/misbehave.ts'
import { foldAttempt, foldReplica } from '../policy/observe.ts'
import { onCancel, onPoolCommand, onReplicaCommand, type PoolCommand, type ReplicaCommand } from '../policy/operator.ts'
import type { Decision, Outcome } from '../policy/outcome.ts'
import { onUse } from '../policy/overspend.ts'
import { onAttempt, onReplica } from '../policy/react.ts'
import { onlyItself, recycle } from '../policy/recycle.ts'
import { resetsAfterSilence } from '../policy/reset.ts'
import { overdue, shutDown } from '../policy/shutdown.ts'
import { decideSize } from '../policy/size.ts'
import type { Clock } from '../port/clock.ts'
import type { Store } from '../port/store.ts'
import { Budgets } from './budgets.ts'
import { Dependencies } from './dependencies.ts'
import { againMs, Dispatcher } from './dispatching.ts'
import type { TickInbox } from './inbox.ts'
import type { PauseWatch } from './pause.ts'
import type { Publisher } from './publish.ts'
import type { Tables } from './tables.ts'
import type { Teller } from './telling.ts'
import { Writer } from './writer.ts'

/** How often waiting tasks are searched for passed deadlines, ms. */
const reapMs = 1_000
const overduePerReap = 1_000
/** Decisions about one replica in one tick: each changes its row, so a handful is the longest honest chain. */
const decisionsPerReplica = 32

/** What an attempt's news may call for: its own outcome, a loop or a full context, a budget, a replica that has lost its connections. */
const judges = [onAttempt, onRunFact, onUse, onlyItself] as const

export interface TickParts {
  readonly tables: Tables
  readonly inbox: TickInbox
  readonly clock: Clock
  readonly store: Store
  readonly pause: PauseWatch
  readonly publisher: Publisher
  readonly teller: Teller
  readonly execute: (effect: Effect) => void
  readonly isCurrent: (observation: { readonly incarnation: number }, incarnation: number) => boolean
}

/**
 * The one owner of state: drain, observe, decide, commit, execute, dispatch.
 *
 * I1. Frames of an older incarnation or fence are dropped here, once, for everybody.
 * I2. Decisions are committed before they are carried out. If the supervisor
 *     dies in between, the next one finishes what was meant.
 * I3. Everything already in the inbox is folded before anybody is judged: a
 *     `done` that came in time wins.
 */
export class Tick {
  private readonly parts: TickParts
  private readonly writer: Writer
  readonly dependencies: Dependencies
  private readonly dispatcher: Dispatcher
  private readonly budgets: Budgets
  private reapAtMs: number
  lastSweepMs: number

  constructor(parts: TickParts) {
    this.parts = parts
    this.writer = new Writer({ ...parts, onStale: (taskId) => parts.tables.endAttempt(taskId) })
    this.dispatcher = new Dispatcher(parts)
    this.dependencies = new Dependencies(parts.tables, (outcome) => this.take(outcome))
    this.budgets = new Budgets(parts.tables, (outcome) => this.take(outcome))
    this.lastSweepMs = parts.clock.nowMs()
    this.reapAtMs = this.lastSweepMs
  }

  /** One turn. Returns when the next is due without news, clock ms. */
  async run(): Promise<number> {
    const { clock, inbox, pause } = this.parts
    const nowMs = clock.nowMs()
    const missedMs = pause.ran(nowMs)
    if (missedMs > 0) this.observe({ kind: 'paused', missedMs, atMs: nowMs }, nowMs)
    for (const observation of inbox.drain()) this.observe(observation, nowMs)
    if (this.storeFailingSinceMs !== null) {
      await this.retry(nowMs, this.storeFailingSinceMs)
    } else {
      // More is waiting: fold it before anybody is judged (I3).
      if (inbox.length === 0) this.decide(nowMs)
      if (nowMs >= this.reapAtMs) await this.reap(nowMs)
      if (this.storeFailingSinceMs === null) await this.claimAndWrite(nowMs)
    }
    this.lastSweepMs = nowMs
    const wakeAtMs = inbox.length > 0 ? nowMs : this.wakeAtMs()
    const endedMs = clock.nowMs()
    pause.lagged(endedMs - nowMs, endedMs)
    pause.expect(Math.max(wakeAtMs, endedMs))
    return wakeAtMs
  }

  /** Since when the store fails, clock ms, or null. */
  get storeFailingSinceMs(): number | null {
    return this.writer.failingSinceMs
  }

  /**
   * While the store fails nothing may be decided: what was decided last is not
   * durable, so nothing was done about it, and rows and world have parted. Only
   * the hosts' leases are kept up. The time it took is nobody's fault.
   */
  private async retry(nowMs: number, sinceMs: number): Promise<void> {
    const { tables, publisher } = this.parts
    for (const row of tables.replicas.values()) this.keepAlive(row, nowMs)
    this.writer.failingSinceMs = null
    await this.write(nowMs, [])
    if (this.storeFailingSinceMs !== null) {
      this.writer.failingSinceMs = sinceMs
      return
    }
    publisher.publish({ kind: 'node', severity: 'warning', atMs: nowMs, text: 'the store works again' })
    this.observe({ kind: 'paused', missedMs: nowMs - sinceMs, atMs: nowMs }, nowMs)
    for (const name of tables.pools.keys()) tables.dirtyPools.add(name)
    this.dispatcher.again(nowMs)
  }

  private keepAlive(row: ReplicaRow, nowMs: number): void {
    const leaseMs = this.parts.tables.specs.get(row.pool)?.leaseMs ?? 0
    if (row.phase.kind !== 'ready' || nowMs - row.leaseSentMs < leaseMs / 3) return
    this.parts.tables.setReplica({ ...row, leaseSentMs: nowMs })
    this.parts.execute({ kind: 'lease', replica: row.name, incarnation: row.incarnation, leaseMs })
  }

  private async claimAndWrite(nowMs: number): Promise<void> {
    const claims = this.dispatcher.plan(nowMs, this.lagMs(nowMs))
    if (claims.length > 0 || !this.writer.settled) await this.write(nowMs, claims)
  }

  private async write(nowMs: number, claims: readonly Claim[]): Promise<void> {
    const committed = await this.writer.write(nowMs, claims)
    if (committed !== null) this.dispatcher.dispatch(committed, claims)
  }

  /** Nothing is decided and not yet durable. */
  get settled(): boolean {
    return this.writer.settled && this.parts.tables.attemptCount === 0
  }

  /** Takes decisions made elsewhere (the takeover) into the next transaction. */
  adopt(decisions: readonly Decision[]): void {
    this.writer.add(decisions)
  }

  private observe(observation: Observation, nowMs: number): void {
    if ('taskId' in observation) this.observeAttempt(observation, nowMs)
    else if ('replica' in observation) this.observeReplica(observation, nowMs)
    else this.observeNode(observation, nowMs)
  }

  private observeReplica(observation: ReplicaObservation, nowMs: number): void {
    const { tables, isCurrent } = this.parts
    const row = tables.replicas.get(observation.replica)
    if (row === undefined || !isCurrent(observation, row.incarnation)) return // A ghost (I1).
    const spec = tables.specs.get(row.pool)
    if (spec === undefined) return
    if (observation.kind === 'ready') this.dependencies.renewed(row.name)
    const folded = foldReplica(row, observation, spec)
    if (folded !== row) {
      tables.setReplica(folded)
      if (observation.kind !== 'pulse') tables.wakesMs.set(row.name, Number.NEGATIVE_INFINITY)
      if (observation.kind === 'checked' || isSilent(row, spec.pulse, nowMs, 0)) tables.dirtyPools.add(row.pool)
    }
    const silentMs = folded.pulse.lastMs - row.pulse.lastMs
    const isSign = observation.kind === 'pulse' || observation.kind === 'pong'
    if (isSign && silentMs <= spec.pulse.everyMs) return // On time: nothing to decide.
    const view = tables.view(folded, nowMs, this.lagMs(nowMs))
    const outcome = isSign ? resetsAfterSilence(view, silentMs) : onReplica(view, observation)
    if (outcome !== null) this.take(outcome)
  }

  private observeAttempt(observation: AttemptObservation, nowMs: number): void {
    const { tables, isCurrent } = this.parts
    const row = tables.replicas.get(observation.replica)
    if (row === undefined || !isCurrent(observation, row.incarnation)) return // A ghost (I1).
    const attempt = tables.attempt(observation.taskId)
    if (attempt === undefined || attempt.fence !== observation.fence || attempt.replica !== observation.replica) {
      this.refuse(observation)
      return
    }
    this.dependencies.sighted(observation, attempt, nowMs)
    this.judge(row.name, attempt, observation, nowMs)
    const current = tables.attempt(observation.taskId)
    const spec = tables.specs.get(row.pool)
    if (current !== undefined && spec !== undefined) tables.setAttempt(foldAttempt(current, observation, spec))
    tables.wakesMs.set(row.name, Number.NEGATIVE_INFINITY)
  }

  /** One after the other, each by the rows as the one before left them. */
  private judge(name: ReplicaName, attempt: AttemptRow, observation: AttemptObservation, nowMs: number): void {
    const { tables } = this.parts
    for (const judge of judges) {
      const row = tables.replicas.get(name)
      if (row === undefined) return
      const newest = tables.attempt(attempt.taskId) ?? attempt
      const outcome = judge(tables.view(row, nowMs, this.lagMs(nowMs)), newest, observation)
      if (outcome !== null) this.take(outcome)
    }
  }

  /** A call of an attempt that is over: its agent waits for an answer, and the answer is no. */
  private refuse(observation: AttemptObservation): void {
    if (observation.kind !== 'call_started' && observation.kind !== 'call_ended') return
    const { replica, incarnation, taskId, fence } = observation
    const call = observation.kind === 'call_started' ? observation.start.call : observation.call
    const phase = observation.kind === 'call_started' ? 'start' : 'end'
    this.parts.execute({ kind: 'ack', replica, incarnation, taskId, fence, call, phase, accepted: false })
  }

  private observeNode(observation: NodeObservation, nowMs: number): void {
    const { tables } = this.parts
    switch (observation.kind) {
      case 'work_arrived': {
        const pool = tables.pools.get(observation.pool)
        if (pool === undefined) return
        tables.pools.set(pool.name, {
          ...pool,
          depth: { ...pool.depth, queued: pool.depth.queued + observation.count },
        })
        this.dispatcher.mark(pool.name)
        return
      }
      case 'dependency_checked':
        this.dependencies.checked(observation, nowMs)
        for (const row of [...tables.replicas.values()]) {
          const outcome = recycle(tables.view(row, nowMs, this.lagMs(nowMs)), observation.dependency)
          if (outcome !== null) this.take(outcome)
        }
        return
      case 'operator':
        this.operate(observation.request, nowMs)
        return
      case 'paused':
        for (const [name, pool] of tables.pools) tables.pools.set(name, forgivePool(pool, observation.missedMs, nowMs))
        for (const [name, row] of tables.dependencies)
          tables.dependencies.set(name, forgiveDependency(row, observation.missedMs))
        this.take(
          forgive(
            [...tables.replicas.values()].map((row) => tables.view(row, nowMs, 0)),
            observation.missedMs,
            nowMs,
          ),
        )
        return
      case 'shutdown':
        tables.shuttingDown = true
        for (const row of [...tables.replicas.values()])
          this.take(shutDown(tables.view(row, nowMs, 0), observation.deadlineMs))
        return
      default:
        assertNever(observation)
    }
  }

  private operate(request: Extract<NodeObservation, { kind: 'operator' }>['request'], nowMs: number): void {
    const { tables, execute } = this.parts
    const { command } = request
    const unknown = (text: string): void =>
      execute({ kind: 'answer', request: request.id, answer: { kind: 'not_found', text } })
    if ('replica' in command) {
      const row = tables.replicas.get(command.replica)
      if (row === undefined) return unknown(`there is no replica ${command.replica}`)
      const asked = { ...request, command: command as ReplicaCommand }
      return this.take(onReplicaCommand(tables.view(row, nowMs, 0), asked))
    }
    if ('pool' in command) {
      const isForced = command.kind === 'resume' && command.force === true
      const forced = isForced ? this.dependencies.force(command.pool, request, nowMs) : []
      const pool = tables.pools.get(command.pool)
      const spec = tables.specs.get(command.pool)
      if (pool === undefined || spec === undefined) return unknown(`there is no pool ${command.pool}`)
      const asked = { ...request, command: command as PoolCommand }
      return this.take(onPoolCommand({ pool, spec, nowMs, incidents: tables.incidents, forced }, asked))
    }
    const attempt = tables.attempt(command.taskId)
    const row = attempt === undefined ? undefined : tables.replicas.get(attempt.replica)
    const running = attempt === undefined || row === undefined ? null : { attempt, view: tables.view(row, nowMs, 0) }
    this.take(onCancel({ ...request, command }, running, nowMs))
  }

  private take(outcome: Outcome): void {
    this.parts.tables.apply(outcome)
    this.writer.add(outcome.decisions)
  }

  private decide(nowMs: number): void {
    const { tables } = this.parts
    const lagMs = this.lagMs(nowMs)
    this.dependencies.decide(nowMs, lagMs)
    this.budgets.decide(nowMs)
    for (const row of tables.replicas.values()) {
      if ((tables.wakesMs.get(row.name) ?? Number.NEGATIVE_INFINITY) <= nowMs) this.decideOne(row.name, nowMs, lagMs)
    }
    for (let round = 0; tables.dirtyPools.size > 0 && round < decisionsPerReplica; round++) {
      const dirty = [...tables.dirtyPools]
      tables.dirtyPools.clear()
      for (const name of dirty) this.decidePool(name, nowMs, lagMs)
    }
  }

  private decideOne(name: `${string}/${number}`, nowMs: number, lagMs: number): void {
    const { tables } = this.parts
    for (let count = 0; count < decisionsPerReplica; count++) {
      const row = tables.replicas.get(name)
      if (row === undefined) return
      const decided = decideReplica(tables.view(row, nowMs, lagMs))
      if (decided.outcome === null) {
        tables.wakesMs.set(name, decided.wakeAtMs)
        return
      }
      this.take(decided.outcome)
    }
  }

  private decidePool(name: PoolName, nowMs: number, lagMs: number): void {
    const { tables } = this.parts
    const pool = tables.pools.get(name)
    const spec = tables.specs.get(name)
    if (pool === undefined || spec === undefined) return
    this.dispatcher.mark(name)
    if (tables.shuttingDown) return
    const outcome = decideSize(pool, spec, tables.replicasOf(name), (row) => tables.attemptsOf(row.name), nowMs)
    if (outcome !== null) this.take(outcome)
    // A place in recovery, or the canary, may have become free for one that waits.
    for (const row of tables.replicasOf(name))
      if (row.phase.kind === 'waiting' || row.phase.kind === 'draining') this.decideOne(row.name, nowMs, lagMs)
  }

  private async reap(nowMs: number): Promise<void> {
    // On whole seconds, as most of what is due from time to time.
    this.reapAtMs = Math.floor(nowMs / reapMs + 1) * reapMs
    try {
      const late = await this.parts.store.overdue(nowMs, overduePerReap)
      for (const taskId of late)
        if (this.parts.tables.attempt(taskId) === undefined) this.writer.add([overdue(taskId, nowMs)])
    } catch (error) {
      this.writer.storeFailed(error, nowMs)
    }
  }

  private lagMs(nowMs: number): number {
    return this.parts.pause.lagMs(nowMs)
  }

  private wakeAtMs(): number {
    const { tables } = this.parts
    let wakeAtMs = Math.min(this.reapAtMs, this.dispatcher.wakeAtMs, this.dependencies.wakeAtMs, this.budgets.wakeAtMs)
    for (const atMs of tables.wakesMs.values()) if (atMs < wakeAtMs) wakeAtMs = atMs
    return this.storeFailingSinceMs === null ? wakeAtMs : this.lastSweepMs + againMs
  }
}
