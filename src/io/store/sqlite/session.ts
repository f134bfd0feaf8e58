import type { StatementSync } from 'node:sqlite'
import { assertNever } from '../../../model/assert.ts'
import type { Batch, Change, Committed } from '../../../model/change.ts'
import { decisionEffects, type Effect, resolution } from '../decision.ts'
import { Depths } from '../depths.ts'
import { sentAgain } from '../task-row.ts'
import type { Request, RequestOf } from './calls.ts'
import { type Connection, commitCounter } from './connection.ts'
import { Journal } from './journal.ts'
import { Ledger } from './ledger.ts'
import { Outbox } from './outbox.ts'
import { Reads } from './reads.ts'
import { withText } from './task-columns.ts'
import { Tasks } from './tasks.ts'

/** One connection with its prepared statements and what is remembered about its rows. Answers are JSON text. */
export class Session {
  readonly connection: Connection
  readonly depths = new Depths()
  commits: number
  readonly #counter: StatementSync
  readonly #changes: StatementSync
  readonly #journal: Journal
  readonly #tasks: Tasks
  readonly #ledger: Ledger
  readonly #outbox: Outbox
  readonly #reads: Reads

  constructor(connection: Connection) {
    const { db } = connection
    this.connection = connection
    this.commits = connection.commits
    this.#counter = commitCounter(db)
    this.#changes = db.prepare('SELECT total_changes() AS count')
    this.#journal = new Journal(db)
    this.#tasks = new Tasks(db, this.depths, this.#journal)
    this.#ledger = new Ledger(db)
    this.#outbox = new Outbox(db)
    this.#reads = new Reads(db, this.#journal)
  }

  /** I1. One transaction around all of them: when this returns, their answers are durable. Throws: nothing is kept. */
  transact(requests: readonly Request[]): string[] {
    const { db } = this.connection
    const before = this.#totalChanges()
    db.exec('BEGIN IMMEDIATE')
    try {
      const answers = requests.map((request) => this.perform(request))
      // A claim that found nothing must not cost a sync.
      const changed = this.#totalChanges() !== before
      if (changed) this.#counter.run(this.commits + 1)
      db.exec('COMMIT')
      if (changed) this.commits += 1
      this.depths.keep()
      return answers
    } catch (error) {
      this.depths.rollBack()
      this.#tasks.forget()
      // Some errors have rolled back already.
      if (db.isTransaction) db.exec('ROLLBACK')
      throw error
    }
  }

  perform(request: Request): string {
    switch (request[1]) {
      case 'takeOver':
        return this.#takeOver()
      case 'submit':
        return this.#submit(request)
      case 'commit':
        return this.#commit(request[2])
      case 'retry':
        return this.#retry(request)
      case 'resolve':
        return this.#resolve(request)
      case 'prune':
        return JSON.stringify(
          this.#tasks.prune(request[2].finishedTasks) + this.#ledger.prune(request[2].closedIncidents),
        )
      case 'task':
        return this.#reads.task(request[2])
      case 'tasks':
        return this.#reads.tasks(request[2])
      case 'overdue':
        return this.#reads.overdue(request[2], request[3])
      case 'incident':
        return this.#reads.incident(request[2])
      case 'incidents':
        return this.#reads.incidents(request[2])
      case 'audit':
        return JSON.stringify(this.#ledger.audit(request[2]))
      case 'outbox':
        return JSON.stringify(this.#outbox.page(request[2], request[3]))
      case 'depths':
        return JSON.stringify(this.depths.all())
    }
  }

  #takeOver(): string {
    const leases = this.#tasks.takeBack()
    const { storeId } = this.connection
    const ledger = this.#ledger
    const left = {
      ...{ replicas: ledger.replicas(), pools: ledger.pools(), dependencies: ledger.dependencies() },
      incidents: ledger.openIncidents(),
    }
    return JSON.stringify({ storeId, leases, ...left, told: this.#outbox.told() })
  }

  #submit([, , tasks, queueLimit]: RequestOf<'submit'>): string {
    const outcomes = tasks.map((task) => this.#tasks.submit(task, queueLimit))
    this.#tasks.settleDepths()
    return JSON.stringify(outcomes)
  }

  #commit({ nowMs, decisions, claims }: Batch): string {
    this.#tasks.promote(nowMs)
    const outcomes = decisions.map((changes) => this.#decide(changes))
    const leases = claims.map((claim) => `[${this.#tasks.claim(claim, nowMs).join()}]`)
    this.#tasks.settleDepths()
    const pools = new Set([...this.depths.touched(), ...claims.map(({ pool }) => pool)])
    return withText({ outcomes, depths: this.depths.snapshot(pools) }, { leases: `[${leases.join()}]` })
  }

  /** I2. Effects exist only when the whole decision was accepted. */
  #decide(changes: readonly Change[]): Committed['outcomes'][number] {
    const effects = decisionEffects(changes, this.#tasks)
    if (typeof effects === 'string') return effects
    for (const effect of effects) this.#apply(effect)
    return 'applied'
  }

  #apply(effect: Effect): void {
    if (effect.kind === 'task') return this.#tasks.write(effect.before, effect.after)
    if (effect.kind === 'step') return this.#journal.put(effect.task.seq, effect.step)
    const { change } = effect
    switch (change.kind) {
      case 'renew':
        for (const { taskId, fence } of change.leases) this.#tasks.renew(taskId, fence, change.untilMs)
        return
      case 'incident':
        return this.#ledger.putIncident(change.incident)
      case 'notification':
        return this.#outbox.add(change)
      case 'outbox':
        return this.#outbox.write(change.write)
      case 'replica':
        return this.#ledger.putReplica(change.record)
      case 'forget_replica':
        return this.#ledger.forgetReplica(change.replica)
      case 'pool':
        return this.#ledger.putPool(change.record)
      case 'dependency':
        return this.#ledger.putDependency(change.record)
      case 'audit':
        return this.#ledger.addAudit(change)
      default:
        return assertNever(change)
    }
  }

  #retry([, , taskId, input, nowMs]: RequestOf<'retry'>): string {
    const row = this.#tasks.task(taskId)
    if (row === undefined) return '"not_found"'
    const again = sentAgain(row, nowMs)
    if (again === 'not_final') return '"not_final"'
    this.#tasks.write(row, again)
    if (row.steps > 0) this.#journal.clear(row.seq)
    if (input[0] !== undefined) this.#tasks.replaceInput(row, JSON.stringify(input[0]))
    this.#tasks.settleDepths()
    return '"queued"'
  }

  #resolve([, , taskId, answer, nowMs]: RequestOf<'resolve'>): string {
    const row = this.#tasks.task(taskId)
    if (row === undefined) return '"not_found"'
    const resolved = resolution(row, this.#journal.inDoubt(row.seq), answer, nowMs)
    if (resolved === 'not_held') return '"not_held"'
    this.#tasks.write(row, resolved.after)
    if (resolved.put !== null) this.#journal.put(row.seq, resolved.put)
    for (const step of resolved.drop) this.#journal.drop(row.seq, step)
    this.#tasks.settleDepths()
    return JSON.stringify(resolved.outcome)
  }

  #totalChanges(): number {
    return Number(this.#changes.get()?.count)
  }
}
