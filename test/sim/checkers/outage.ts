import type { Change, ReplicaRecord } from '../../../src/model/change.ts'
import type { ReplicaName, TaskId } from '../../../src/model/ids.ts'
import type { PoolSpec } from '../../../src/model/pool.ts'
import type { DependencySpec } from '../../../src/model/probe.ts'
import type { Scenario } from '../scenario.ts'
import type { Checker, Trace, TraceEvent } from '../trace.ts'

type EndAttempt = Change & { readonly kind: 'end_attempt' }

export interface Refunds extends Pick<Account, 'lateRefunds' | 'losses'> {
  /** What its failures have cost it in the end; null: nothing was seen of it. */
  readonly charged: number | null
}

export const nothingKnown: Refunds = { charged: null, lateRefunds: 0, losses: 0 }

/** What a task has used up, and how much of it by the outage that lasts. */
interface Account {
  counted: number
  /** When each was charged, with nothing given back yet. */
  charges: number[]
  firstMissMs: number
  isOver: boolean
  /** Attempts given back when it was over: too late to help, and no wrong. */
  lateRefunds: number
  /** Lost replicas that count against it no more. */
  losses: number
}

/**
 * R2: a dependency that is known to be down charges nobody: no attempt, no
 * strike, no task. Nothing that needs it is begun. What its failures cost before
 * the verdict is given back with the verdict. The simulator knows which calls
 * the outage has failed; what a severed replica failed alone is not among them.
 */
export class OutageChecker implements Checker {
  readonly rule = 'outage'
  readonly sees = ['committed', 'used', 'provider', 'probe_answered', 'supervisor', 'reopened'] as const
  private readonly trace: Trace
  private readonly pools: ReadonlyMap<string, PoolSpec>
  private readonly dependency: string
  private readonly isGating: boolean
  /** Since when the supervisor has it written down as down, or null. */
  private downMs: number | null = null
  /** Where its check never sees it, what the supervisor takes for its first sign: before that nothing but words pointed to it. */
  private firstSignMs = Number.NEGATIVE_INFINITY
  private readonly isUnseen: boolean
  /** The last answer of its check, and whether any failed while it was down: then there is nothing to try. */
  private isAnswering = true
  private hasFailedCheck = false
  /** When it gave answers that no task has tried yet: one may for each, and a later answer makes an earlier one void. */
  private answersMs: readonly number[] = []
  /** Since when it is really down, or null; a supervisor that starts later knows nothing of what was before. */
  private sinceMs: number | null = null
  private bornMs = 0
  /** The first call that this outage has failed: what was charged before was not its doing. */
  private missedMs = Number.POSITIVE_INFINITY
  /** Attempts whose last call the outage has failed, by task and fence. */
  private readonly missed = new Set<string>()
  private readonly accounts = new Map<TaskId, Account>()
  private readonly strikes = new Map<ReplicaName, ReplicaRecord>()

  constructor(trace: Trace, { pools, isUnseen }: Pick<Scenario, 'pools' | 'isUnseen'>, dependency: DependencySpec) {
    this.trace = trace
    this.pools = new Map(pools.map((pool) => [pool.name, pool]))
    this.isUnseen = isUnseen
    this.dependency = dependency.name
    this.isGating = dependency.critical || dependency.role === 'model_provider'
  }

  see(event: TraceEvent, atMs: number): void {
    switch (event.kind) {
      case 'provider':
        this.sinceMs = event.up ? null : atMs
        this.missedMs = Number.POSITIVE_INFINITY
        return
      case 'probe_answered':
        this.isAnswering = event.ok
        this.hasFailedCheck ||= !event.ok
        this.answersMs = this.hasFailedCheck ? [] : [...this.answersMs, atMs]
        return
      case 'supervisor':
        if (event.what !== 'born') return
        this.bornMs = atMs
        // It knows nothing of what the check of the one before it has said.
        this.isAnswering = true
        this.hasFailedCheck = false
        return
      case 'used':
        this.used(event, atMs)
        return
      case 'reopened':
        if (event.by === 'retry') this.accounts.delete(event.taskId)
        return
      case 'committed':
        this.committed(event)
        return
      default:
    }
  }

  private used({ ok, severed, taskId, fence }: TraceEvent & { readonly kind: 'used' }, atMs: number): void {
    const key = `${taskId}@${fence}`
    if (ok || severed) this.missed.delete(key)
    else {
      this.missed.add(key)
      this.missedMs = Math.min(this.missedMs, atMs)
      const account = this.of(taskId)
      account.firstMissMs = Math.min(account.firstMissMs, atMs)
    }
  }

  private committed({ batch, result }: TraceEvent & { readonly kind: 'committed' }): void {
    const before = this.downMs
    batch.decisions.forEach((changes, at) => {
      if (result.outcomes[at] === 'applied') for (const change of changes) this.apply(change)
    })
    if (before === null && this.downMs !== null) {
      this.mustBeGivenBack(this.downMs)
      this.answersMs = []
      this.hasFailedCheck = !this.isAnswering
    }
    if (this.downMs === null) return
    for (const { taskId, pool, needs } of result.leases.flat()) {
      const isHeld = this.isGating && this.pools.get(pool)?.dependsOn.includes(this.dependency) === true
      if (!isHeld && !needs.includes(this.dependency)) continue
      if (isHeld && this.mayTry(batch.nowMs)) continue
      this.trace.violate('outage_holds', `${taskId} is begun, and ${this.dependency} is known to be down`)
    }
  }

  private mayTry(claimedMs: number): boolean {
    const later = this.answersMs.filter((atMs) => atMs > claimedMs)
    const isAnswered = later.length < this.answersMs.length
    this.answersMs = later
    return isAnswered
  }

  private apply(change: Change): void {
    switch (change.kind) {
      case 'dependency':
        this.downMs = change.record.down?.sinceMs ?? null
        if (this.isUnseen) this.firstSignMs = change.record.down?.firstSignMs ?? this.firstSignMs
        return
      case 'end_attempt':
        this.ended(change)
        return
      case 'refund': {
        const account = this.of(change.taskId)
        account.losses += change.losses
        if (account.isOver) account.lateRefunds += change.attempts
        account.counted = Math.max(0, account.counted - change.attempts)
        // Of the newest: what is older than its first sign is not given back.
        account.charges.splice(Math.max(0, account.charges.length - change.attempts))
        return
      }
      case 'replica':
        this.struck(change.record)
        return
      case 'forget_replica':
        this.strikes.delete(change.replica)
        return
      default:
    }
  }

  private ended(change: EndAttempt): void {
    const account = this.of(change.taskId)
    const isOfOutage = change.outcome === 'failed' && this.missed.has(`${change.taskId}@${change.fence}`)
    account.isOver = change.next.status === 'failed' || change.next.status === 'dead_letter'
    if (!change.counted || change.outcome === 'done') return
    account.counted += 1
    if (!isOfOutage) return
    account.charges.push(change.atMs)
    if (this.downMs !== null && change.atMs > this.downMs)
      this.trace.violate(
        'outage_charges_nobody',
        `${change.taskId} is charged for an attempt that ${this.dependency} failed, known to be down`,
      )
  }

  /** Known to be down, it earns nobody a strike; and what it holds earns none at all. */
  private struck(record: ReplicaRecord): void {
    const known = this.strikes.get(record.name)?.strikes.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY
    this.strikes.set(record.name, record)
    const { downMs } = this
    if (downMs === null) return
    const held = this.isGating && this.pools.get(record.pool)?.dependsOn.includes(this.dependency) === true
    for (const { atMs, dependency } of record.strikes)
      if (atMs > Math.max(known, downMs) && (held || dependency === this.dependency))
        this.trace.violate('outage_charges_nobody', `${record.name} gets a strike while ${this.dependency} is down`)
  }

  /** The verdict is written: nobody keeps a charge of this outage. What an earlier life charged is forgotten with its marks. */
  private mustBeGivenBack(downMs: number): void {
    const { sinceMs } = this
    if (sinceMs === null || this.bornMs > sinceMs) return
    // What a task was charged with is remembered for as long as a strike lives.
    const periods = [...this.pools.values()].map(({ recovery }) => recovery.strikePeriodMs)
    const fromMs = Math.max(sinceMs, this.firstSignMs, this.isUnseen ? downMs - Math.min(...periods) : sinceMs)
    for (const [taskId, { charges, counted, firstMissMs, isOver }] of this.accounts) {
      const own = charges.filter((atMs) => atMs >= fromMs && atMs <= downMs)
      if (own.length === 0) continue
      if (!isOver)
        this.trace.violate('outage_refunds', `${taskId} keeps ${own.length} attempts that ${this.dependency} failed`)
      // A task may use up its attempts while nothing but its own words speak of an outage.
      else if (!this.isUnseen && own.length === counted && firstMissMs >= sinceMs)
        this.trace.violate('outage_fails_nobody', `${taskId} has failed, and only ${this.dependency} was at fault`)
    }
    for (const { name, strikes } of this.strikes.values())
      if (
        strikes.some(
          ({ atMs, dependency }) => dependency === this.dependency && atMs > Math.max(this.missedMs, this.firstSignMs),
        )
      )
        this.trace.violate('outage_refunds', `${name} keeps a strike for what ${this.dependency} failed`)
  }

  /** What was given back to a task that its record still counts. */
  refunds(taskId: TaskId): Refunds {
    const account = this.accounts.get(taskId)
    return account === undefined ? nothingKnown : { ...account, charged: account.counted }
  }

  private of(taskId: TaskId): Account {
    let account = this.accounts.get(taskId)
    if (account === undefined) {
      account = {
        counted: 0,
        charges: [],
        firstMissMs: Number.POSITIVE_INFINITY,
        isOver: false,
        lateRefunds: 0,
        losses: 0,
      }
      this.accounts.set(taskId, account)
    }
    return account
  }
}
