import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import type { Claim } from '../../../model/change.ts'
import type { PoolName, TaskId } from '../../../model/ids.ts'
import type { InheritedLease } from '../../../model/inheritance.ts'
import { limits } from '../../../model/limits.ts'
import type { JournalStep, NewTask, SubmitOutcome, TaskStatus } from '../../../model/task.ts'
import type { Rows } from '../decision.ts'
import type { Depths } from '../depths.ts'
import { isSuspect, newRow, type TaskRow, takeOverRaise } from '../task-row.ts'
import type { Journal } from './journal.ts'
import {
  insertTask,
  insertValues,
  rowColumns,
  rowFrom,
  rowWidth,
  updateTask,
  updateValues,
  type Values,
  withText,
} from './task-columns.ts'

/** Leased rows kept in memory, so that ending an attempt needs no read. */
const leasedRowsKept = 20_000

const eligible = `pool = ? AND suspect = ? AND status = 'queued'
  AND (avoid_replica IS NULL OR avoid_replica <> ? OR avoid_until_ms <= ? OR NOT ?)
  AND (needs IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(needs) AS need JOIN json_each(?) AS down ON down.value = need.value))
  ORDER BY priority DESC, seq LIMIT ?`
/** Exported for the test of its plan. */
export const claimCandidates = `SELECT seq, priority FROM task WHERE ${eligible}`
const lease = `UPDATE task SET status = 'leased', fence = fence + 1, attempt = attempt + 1, replica = ?, incarnation = ?,
  since_ms = ?, lease_until_ms = ?, not_before_ms = NULL, avoid_replica = NULL, avoid_until_ms = NULL`
const leaseResult = `RETURNING ${rowColumns}, input, needs`
export const claimUpdate = `${lease} WHERE seq IN (SELECT seq FROM task WHERE ${eligible}) ${leaseResult}`

/** The task table: writes of one transaction at a time, and the rows they need. */
export class Tasks implements Rows {
  readonly #depths: Depths
  readonly #journal: Journal
  /** Rows under a lease. Nobody else writes this database, so they cannot be older than it. */
  readonly #leased = new Map<TaskId, TaskRow>()
  readonly #insert: StatementSync
  readonly #update: StatementSync
  readonly #byId: StatementSync
  readonly #byKey: StatementSync
  readonly #renew: StatementSync
  readonly #candidates: StatementSync
  readonly #claim: StatementSync
  readonly #claimOne: StatementSync
  readonly #promote: StatementSync
  readonly #nextDue: StatementSync
  readonly #takeBack: StatementSync
  readonly #setInput: StatementSync
  readonly #prune: StatementSync

  constructor(db: DatabaseSync, depths: Depths, journal: Journal) {
    this.#depths = depths
    this.#journal = journal
    const prepare = (sql: string): StatementSync => {
      const statement = db.prepare(sql)
      statement.setReturnArrays(true)
      return statement
    }
    this.#insert = prepare(insertTask)
    this.#update = prepare(updateTask)
    this.#byId = prepare(`SELECT ${rowColumns} FROM task WHERE id = ?`)
    this.#byKey = prepare('SELECT id, status FROM task WHERE pool = ? AND idempotency_key = ?')
    this.#renew = prepare(`UPDATE task SET lease_until_ms = ? WHERE id = ? AND fence = ? AND status = 'leased'`)
    this.#candidates = prepare(claimCandidates)
    this.#claim = prepare(claimUpdate)
    this.#claimOne = prepare(`${lease} WHERE seq = ? ${leaseResult}`)
    this.#promote = prepare(`UPDATE task SET status = 'queued', not_before_ms = NULL WHERE seq IN (
      SELECT seq FROM task WHERE status = 'scheduled' AND pool = ? AND not_before_ms <= ? ORDER BY not_before_ms LIMIT ?)
      RETURNING suspect`)
    this.#nextDue = prepare(`SELECT min(not_before_ms) FROM task WHERE status = 'scheduled' AND pool = ?`)
    this.#takeBack = prepare(`UPDATE task SET status = 'returning', fence = fence + ${takeOverRaise}
      WHERE status IN ('leased', 'returning') AND status NOT IN ('queued', 'done') RETURNING ${rowColumns}`)
    this.#setInput = prepare('UPDATE task SET input = ? WHERE seq = ?')
    this.#prune = prepare(`DELETE FROM task WHERE seq IN (
      SELECT seq FROM task WHERE finished_ms IS NOT NULL ORDER BY finished_ms DESC, seq DESC LIMIT ? OFFSET ?)
      RETURNING seq, steps`)
    this.#count(db)
  }

  submit(task: NewTask, queueLimit: number): SubmitOutcome {
    if (task.idempotencyKey !== null) {
      const known = this.#byKey.get(task.pool, task.idempotencyKey) as Values | undefined
      if (known !== undefined) return { kind: 'existing', id: known[0] as TaskId, status: known[1] as TaskStatus }
    }
    const { queued, scheduled, held } = this.#depths.of(task.pool)
    if (queued + scheduled + held >= queueLimit) return { kind: 'refused', reason: 'queue_full' }
    const row = newRow(task, 0)
    const { id, status } = row
    if (this.#insert.run(...insertValues(task, status)).changes === 0) {
      // The submitter tries again after a failure whose outcome it could not know.
      return { kind: 'existing', id, status: this.task(id)?.status ?? status }
    }
    this.#depths.replace(null, row)
    return { kind: 'created', id, status }
  }

  task(id: TaskId): TaskRow | undefined {
    const cached = this.#leased.get(id)
    if (cached !== undefined) return cached
    const values = this.#byId.get(id) as Values | undefined
    return values === undefined ? undefined : rowFrom(values)
  }

  step(row: TaskRow, name: string, key: string): JournalStep | undefined {
    return this.#journal.find(row.seq, name, key)
  }

  write(before: TaskRow, after: TaskRow): void {
    this.#update.run(...updateValues(before, after))
    this.#depths.replace(before, after)
    if (after.lease === null) this.#leased.delete(after.id)
    else this.#remember(after)
  }

  /** A lease whose fence was raised is left alone. */
  renew(id: TaskId, fence: number, untilMs: number): void {
    this.#renew.run(untilMs, id, fence)
  }

  replaceInput(row: TaskRow, text: string): void {
    this.#setInput.run(text, row.seq)
  }

  /** Leases as JSON text. Highest priority first, then oldest; a suspect task alone, on an idle replica (R8). */
  claim(claim: Claim, nowMs: number): string[] {
    const { pool, replica, incarnation, leaseUntilMs } = claim
    const blocked = JSON.stringify(claim.blocked)
    const given: SQLInputValue[] = [replica, incarnation, nowMs, leaseUntilMs]
    const which = (suspect: 0 | 1, count: number): SQLInputValue[] => [
      pool,
      suspect,
      replica,
      nowMs,
      claim.hasSibling ? 1 : 0,
      blocked,
      count,
    ]
    if (claim.count <= 0 || this.#depths.of(pool).queued === 0) return []
    if (claim.idle) {
      const suspect = this.#candidates.get(...which(1, 1)) as Values | undefined
      const other = suspect && (this.#candidates.get(...which(0, 1)) as Values | undefined)
      if (suspect !== undefined && (other === undefined || isBefore(suspect, other))) {
        return this.#leases(this.#claimOne.all(...given, suspect[0] ?? null))
      }
    }
    return this.#leases(this.#claim.all(...given, ...which(0, claim.count)))
  }

  /** Queues what is due: at most `limits.promotedPerCommit` a pool, the rest with the next transaction. */
  promote(nowMs: number): void {
    for (const pool of this.#depths.due(nowMs)) {
      const promoted = this.#promote.all(pool, nowMs, limits.promotedPerCommit) as unknown as Values[]
      this.#depths.add(pool, 'scheduled', -promoted.length, 0)
      this.#depths.add(pool, 'queued', promoted.length, promoted.filter(([suspect]) => suspect === 1).length)
    }
  }

  /** To be called before the commit: when the next scheduled task of each touched pool is due. */
  settleDepths(): void {
    for (const pool of this.#depths.touched()) {
      const values = this.#depths.of(pool).scheduled === 0 ? undefined : (this.#nextDue.get(pool) as unknown as Values)
      this.#depths.setNextDue(pool, (values?.[0] ?? null) as number | null)
    }
  }

  /** Raises the fence of every lease. They end by `end_attempt`, under the raised one. */
  takeBack(): InheritedLease[] {
    return (this.#takeBack.all() as unknown as Values[]).map((values) => {
      const row = rowFrom(values)
      if (row.lease === null) throw new Error(`Task ${row.id} is ${row.status} without a lease`)
      this.#remember(row)
      const { id: taskId, pool, fence, attempt, spent } = row
      const inDoubt = row.steps === 0 ? null : (this.#journal.inDoubt(row.seq)[0] ?? null)
      return {
        taskId,
        pool,
        fence,
        attempt,
        spent,
        ...row.lease,
        inDoubt: inDoubt && { name: inDoubt.name, key: inDoubt.key },
      }
    })
  }

  prune(keep: number): number {
    const deleted = this.#prune.all(limits.prunedPerCall, keep) as unknown as Values[]
    for (const [seq, steps] of deleted) if (steps !== 0) this.#journal.clear(seq as number)
    return deleted.length
  }

  /** After a rollback nothing that was read or written in the transaction may be believed. */
  forget(): void {
    this.#leased.clear()
  }

  #leases(rows: unknown[]): string[] {
    const leases = (rows as Values[]).map((values) => ({
      row: rowFrom(values),
      input: values[rowWidth],
      needs: values[rowWidth + 1],
    }))
    // RETURNING promises no order.
    leases.sort((a, b) => b.row.priority - a.row.priority || a.row.seq - b.row.seq)
    const first = leases[0]
    if (first !== undefined) {
      this.#depths.add(first.row.pool, 'queued', -leases.length, -leases.filter(({ row }) => isSuspect(row)).length)
      this.#depths.add(first.row.pool, 'leased', leases.length, 0)
    }
    return leases.map(({ row, input, needs }) => {
      this.#remember(row)
      return leaseText(row, String(input), needs === null ? '[]' : String(needs), this.#journal.text(row))
    })
  }

  #remember(row: TaskRow): void {
    if (this.#leased.size >= leasedRowsKept) this.#leased.clear()
    this.#leased.set(row.id, row)
  }

  #count(db: DatabaseSync): void {
    const waiting = db.prepare(`SELECT pool, count(*) AS count, sum(suspect) AS suspects FROM task
      WHERE status = 'queued' GROUP BY pool`)
    for (const { pool, count, suspects } of waiting.all())
      this.#depths.add(pool as PoolName, 'queued', count as number, suspects as number)
    const others = db.prepare(`SELECT pool, status, count(*) AS count FROM task
      WHERE status NOT IN ('queued', 'done') GROUP BY pool, status`)
    for (const { pool, status, count } of others.all()) {
      this.#depths.add(pool as PoolName, status as TaskStatus, count as number, 0)
    }
    this.settleDepths()
    this.#depths.keep()
  }
}

function isBefore(a: Values, b: Values): boolean {
  const byPriority = (b[1] as number) - (a[1] as number)
  return byPriority < 0 || (byPriority === 0 && (a[0] as number) < (b[0] as number))
}

function leaseText(row: TaskRow, input: string, needs: string, journal: string): string {
  const { pool, fence, attempt, countedAttempts, lostReplicas, priority, deadlineMs, spent, previous } = row
  const plain = {
    taskId: row.id,
    pool,
    replica: row.lease?.replica,
    incarnation: row.lease?.incarnation,
    fence,
    attempt,
  }
  return withText(
    { ...plain, countedAttempts, lostReplicas, priority, deadlineMs, spent, previous },
    { input, needs, journal },
  )
}
