import { assertNever } from '../model/assert.ts'
import type { Claim, Committed } from '../model/change.ts'
import type { Effect } from '../model/effect.ts'
import type { PoolName } from '../model/ids.ts'
import type { AttemptObservation, NodeObservation, Observation, ReplicaObservation } from '../model/observation.ts'
import type { ReplicaRow } from '../model/rows.ts'
import { decideReplica } from '../policy/decide.ts'
import { begin, planClaims, withoutSuspects } from '../policy/dispatch.ts'
import { forgive } from '../policy/forgive.ts'
import { isSilent } from '../policy/health/pulse.ts'
import { foldAttempt, foldReplica } from '../policy/observe.ts'
import { onCancel, onPoolCommand, onReplicaCommand, type PoolCommand, type ReplicaCommand } from '../policy/operator.ts'
import type { Decision, Outcome } from '../policy/outcome.ts'
import { onAttempt, onReplica } from '../policy/react.ts'
import { resetsAfterSilence } from '../policy/reset.ts'
import { overdue, shutDown } from '../policy/shutdown.ts'
import { decideSize } from '../policy/size.ts'
import type { Clock } from '../port/clock.ts'
import type { Store } from '../port/store.ts'
import type { Dependencies } from './dependencies.ts'
import type { TickInbox } from './inbox.ts'
import type { PauseWatch } from './pause.ts'
import type { Publisher } from './publish.ts'
import type { Tables } from './tables.ts'
import type { Teller } from './telling.ts'
import { Writer } from './writer.ts'

/** How soon an unwritten decision, or a pool whose tasks avoid the free replicas, is tried again, ms. */
const againMs = 250
/** How often waiting tasks are searched for passed deadlines, ms. */
const reapMs = 1_000
const overduePerReap = 1_000
/** Decisions about one replica in one tick: each changes its row, so a handful is the longest honest chain. */
const decisionsPerReplica = 32

export interface TickParts {
  readonly tables: Tables
  readonly inbox: TickInbox
  readonly clock: Clock
  readonly store: Store
  readonly pause: PauseWatch
  readonly publisher: Publisher
  readonly teller: Teller
  readonly dependencies: Dependencies
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
  private readonly dispatchable = new Set<PoolName>()
  private redispatchAtMs = Number.POSITIVE_INFINITY
  private reapAtMs: number
  lastSweepMs: number

  constructor(parts: TickParts) {
    this.parts = parts
    this.writer = new Writer({ ...parts, onStale: (taskId) => parts.tables.endAttempt(taskId) })
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
      this.wakePools(nowMs)
      await this.write(nowMs, this.plan(nowMs))
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
    this.redispatchAtMs = nowMs
  }

  private keepAlive(row: ReplicaRow, nowMs: number): void {
    const leaseMs = this.parts.tables.specs.get(row.pool)?.leaseMs ?? 0
    if (row.phase.kind !== 'ready' || nowMs - row.leaseSentMs < leaseMs / 3) return
    this.parts.tables.setReplica({ ...row, leaseSentMs: nowMs })
    this.parts.execute({ kind: 'lease', replica: row.name, incarnation: row.incarnation, leaseMs })
  }

  private async write(nowMs: number, claims: readonly Claim[]): Promise<void> {
    const committed = await this.writer.write(nowMs, claims)
    if (committed !== null) this.dispatch(committed, claims)
  }

  /** Pools whose scheduled tasks have come due, or whose tasks could not be placed last time. */
  private wakePools(nowMs: number): void {
    for (const pool of this.parts.tables.pools.values()) {
      const due = pool.depth.nextDueMs !== null && pool.depth.nextDueMs <= nowMs
      if (due)
        this.parts.tables.pools.set(pool.name, {
          ...pool,
          depth: { ...pool.depth, queued: pool.depth.queued + 1, nextDueMs: null },
        })
      if (due || nowMs >= this.redispatchAtMs) this.dispatchable.add(pool.name)
    }
    // Without it a turn that claims nothing would be due again at once, for ever.
    if (nowMs >= this.redispatchAtMs) this.redispatchAtMs = Number.POSITIVE_INFINITY
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
    const outcome = onAttempt(tables.view(row, nowMs, this.lagMs(nowMs)), attempt, observation)
    if (outcome !== null) this.take(outcome)
    const current = tables.attempt(observation.taskId)
    const spec = tables.specs.get(row.pool)
    if (current !== undefined && spec !== undefined) tables.setAttempt(foldAttempt(current, observation, spec))
    tables.wakesMs.set(row.name, Number.NEGATIVE_INFINITY)
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
    const { tables, dependencies } = this.parts
    switch (observation.kind) {
      case 'work_arrived': {
        const pool = tables.pools.get(observation.pool)
        if (pool === undefined) return
        tables.pools.set(pool.name, {
          ...pool,
          depth: { ...pool.depth, queued: pool.depth.queued + observation.count },
        })
        this.dispatchable.add(pool.name)
        return
      }
      case 'dependency_checked':
        for (const outcome of dependencies.checked(observation, tables)) this.take(outcome)
        return
      case 'operator':
        this.operate(observation.request, nowMs)
        return
      case 'paused':
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
      const pool = tables.pools.get(command.pool)
      const spec = tables.specs.get(command.pool)
      if (pool === undefined || spec === undefined) return unknown(`there is no pool ${command.pool}`)
      const asked = { ...request, command: command as PoolCommand }
      return this.take(onPoolCommand({ pool, spec, nowMs, incidents: tables.incidents }, asked))
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
    this.dispatchable.add(name)
    if (tables.shuttingDown) return
    const outcome = decideSize(pool, spec, tables.replicasOf(name), (row) => tables.attemptsOf(row.name), nowMs)
    if (outcome !== null) this.take(outcome)
    // A place in recovery, or the canary, may have become free for one that waits.
    for (const row of tables.replicasOf(name))
      if (row.phase.kind === 'waiting' || row.phase.kind === 'draining') this.decideOne(row.name, nowMs, lagMs)
  }

  private plan(nowMs: number): readonly Claim[] {
    const { tables } = this.parts
    if (tables.shuttingDown) return []
    const lagMs = this.lagMs(nowMs)
    const claims: Claim[] = []
    for (const name of this.dispatchable) {
      const pool = tables.pools.get(name)
      const spec = tables.specs.get(name)
      if (pool === undefined || spec === undefined || pool.depth.queued === 0) continue
      const replicas = tables.replicasOf(name)
      const candidates = replicas.map((row) => ({ row, attempts: tables.attemptsOf(row.name) }))
      claims.push(...planClaims(pool, spec, candidates, { nowMs, lagMs, replicas }))
    }
    this.dispatchable.clear()
    return claims
  }

  private async reap(nowMs: number): Promise<void> {
    this.reapAtMs = nowMs + reapMs
    const late = await this.parts.store.overdue(nowMs, overduePerReap)
    for (const taskId of late)
      if (this.parts.tables.attempt(taskId) === undefined) this.writer.add([overdue(taskId, nowMs)])
  }

  private dispatch(committed: Committed, claims: readonly Claim[]): void {
    const { tables, clock, execute, publisher } = this.parts
    const nowMs = clock.nowMs()
    const asked = new Set(claims.map((claim) => claim.pool))
    for (const [name, depth] of Object.entries(committed.depths)) {
      const pool = tables.pools.get(name)
      // Something came that nobody asked for: the next turn does.
      if (depth.queued > (pool?.depth.queued ?? 0) && !asked.has(name)) this.redispatchAtMs = nowMs
      if (pool !== undefined)
        tables.pools.set(name, { ...pool, depth, suspects: depth.queued + depth.scheduled === 0 ? {} : pool.suspects })
    }
    claims.forEach((claim, at) => {
      const leases = committed.leases[at] ?? []
      const spec = tables.specs.get(claim.pool)
      const pool = tables.pools.get(claim.pool)
      if (spec === undefined || pool === undefined) return
      for (const lease of leases) {
        const { attempt, effect } = begin(lease, spec, nowMs)
        tables.setAttempt(attempt)
        execute(effect)
        publisher.publish({ kind: 'task', taskId: lease.taskId, pool: lease.pool, status: 'leased', atMs: nowMs })
      }
      if (leases.length > 0) {
        tables.pools.set(
          claim.pool,
          withoutSuspects(
            pool,
            leases.map((lease) => lease.taskId),
          ),
        )
        const before = tables.wakesMs.get(claim.replica) ?? Number.POSITIVE_INFINITY
        const deadlines = leases.map((lease) => lease.deadlineMs ?? Number.POSITIVE_INFINITY)
        tables.wakesMs.set(claim.replica, Math.min(before, nowMs + spec.leaseMs / 3, ...deadlines))
      }
      // What is queued may avoid this replica for now, or want one to itself.
      if (leases.length < claim.count && pool.depth.queued > 0) this.redispatchAtMs = nowMs + againMs
    })
  }

  private lagMs(nowMs: number): number {
    return this.parts.pause.lagMs(nowMs)
  }

  private wakeAtMs(): number {
    const { tables } = this.parts
    let wakeAtMs = Math.min(this.reapAtMs, this.redispatchAtMs)
    for (const atMs of tables.wakesMs.values()) if (atMs < wakeAtMs) wakeAtMs = atMs
    for (const pool of tables.pools.values()) {
      if (pool.depth.nextDueMs !== null && pool.depth.nextDueMs < wakeAtMs) wakeAtMs = pool.depth.nextDueMs
    }
    return this.storeFailingSinceMs === null ? wakeAtMs : this.lastSweepMs + againMs
  }
}
