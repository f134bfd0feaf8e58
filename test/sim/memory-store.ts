/**
 * The simulator's store: the contract of the real one, in memory, every call done before it returns. What a
 * supervisor leaves behind is `data`: pass it on to simulate that the next one finds it.
 */
import { decisionEffects, type Effect, resolution } from '../../src/io/store/decision.ts'
import { sentAgain, type TaskRow, takeOverRaise, viewed } from '../../src/io/store/task-row.ts'
import type { Batch, Change, Committed, DependencyRecord, PoolRecord, ReplicaRecord } from '../../src/model/change.ts'
import type { Incident } from '../../src/model/incident.ts'
import type { Inheritance } from '../../src/model/inheritance.ts'
import { limits } from '../../src/model/limits.ts'
import { isFinal, type JournalStep, type NewTask, type SubmitOutcome, type TaskView } from '../../src/model/task.ts'
import type { AuditRow, IncidentQuery, Page, Store, TaskQuery } from '../../src/port/store.ts'
import { MemoryOutbox } from './memory-outbox.ts'
import { type Entry, MemoryTable, stepId } from './memory-table.ts'

/** Planted on purpose, so that a test can prove that the simulator's checkers notice. */
export interface StoreBugs {
  /** Writes under an old fence pass. */
  readonly fenceNotChecked?: boolean
  /** `end_attempt` returns the lease at once, whatever becomes of its decision. */
  readonly leaseReturnedOutsideTransaction?: boolean
  /** What an outage has charged is never given back. */
  readonly refundsForgotten?: boolean
  /** The next supervisor does not learn what notifiers were told. */
  readonly toldForgotten?: boolean
}

export interface MemoryData {
  readonly table: MemoryTable
  readonly incidents: Map<string, Incident>
  readonly replicas: Map<string, ReplicaRecord>
  readonly pools: Map<string, PoolRecord>
  readonly dependencies: Map<string, DependencyRecord>
  readonly audit: AuditRow[]
  readonly outbox: MemoryOutbox
}

export interface MemoryStore extends Store {
  readonly data: MemoryData
  /** With the bug planted: what a commit that never happened has done all the same. Without it nothing. */
  returnLeases(batch: Batch): void
}

export function memoryData(): MemoryData {
  const maps = { incidents: new Map(), replicas: new Map(), pools: new Map(), dependencies: new Map() }
  return { table: new MemoryTable(), ...maps, audit: [], outbox: new MemoryOutbox() }
}

export function createMemoryStore(
  options: { readonly data?: MemoryData; readonly bugs?: StoreBugs } = {},
): MemoryStore {
  const memory = new Memory(options.data ?? memoryData(), options.bugs ?? {})
  const { table, incidents, audit, outbox } = memory.data
  return {
    data: memory.data,
    returnLeases: (batch) => memory.returnLeases(batch),
    takeOver: async () => memory.takeOver(),
    submit: async (tasks, queueLimit) => memory.submit(tasks, queueLimit),
    commit: async (batch) => memory.commit(batch),
    retry: async (taskId, input, nowMs) => memory.retry(taskId, input, nowMs),
    resolve: async (taskId, answer, nowMs) => memory.resolve(taskId, answer, nowMs),
    task: async (taskId) => memory.view(table.entries.get(taskId), true),
    tasks: async (query) => memory.tasks(query),
    overdue: async (nowMs, limit) => table.overdue(nowMs, limit),
    incident: async (id) => incidents.get(id) ?? null,
    incidents: async (query) => memory.incidents(query),
    audit: async (limit) => audit.slice(-limit).reverse(),
    outbox: async (notifier, limit) => outbox.page(notifier, limit),
    depths: async () => table.depths.all(),
    prune: async (keep) => memory.prune(keep),
    close: async () => {},
  }
}

class Memory {
  readonly data: MemoryData
  readonly #bugs: StoreBugs

  constructor(data: MemoryData, bugs: StoreBugs) {
    this.data = data
    this.#bugs = bugs
  }

  takeOver(): Inheritance {
    const { table, incidents, replicas, pools, dependencies, outbox } = this.data
    const leases = table.leases().map((entry) => {
      const row: TaskRow = { ...entry.row, status: 'returning', fence: entry.row.fence + takeOverRaise }
      if (row.lease === null) throw new Error(`No lease on ${row.id}`)
      table.set(row)
      const step = inDoubt(entry)[0]
      const { id: taskId, pool, fence, attempt, spent, lease } = row
      return {
        taskId,
        pool,
        fence,
        attempt,
        spent,
        ...lease,
        inDoubt: step ? { name: step.name, key: step.key } : null,
      }
    })
    this.#settle()
    const open = [...incidents.values()].filter(({ status }) => status !== 'closed')
    const told = this.#bugs.toldForgotten === true ? [] : [...outbox.told.values()]
    const left = {
      replicas: [...replicas.values()],
      pools: [...pools.values()],
      dependencies: [...dependencies.values()],
      told,
    }
    return { storeId: 'memory', leases, incidents: open, ...left }
  }

  submit(tasks: readonly NewTask[], queueLimit: number): SubmitOutcome[] {
    const { table } = this.data
    const outcomes = tasks.map((task): SubmitOutcome => {
      const known = table.known(task)
      if (known !== undefined) return { kind: 'existing', id: known.row.id, status: known.row.status }
      const { queued, scheduled, held } = table.depths.of(task.pool)
      if (queued + scheduled + held >= queueLimit) return { kind: 'refused', reason: 'queue_full' }
      const { id, status } = table.add(task)
      return { kind: 'created', id, status }
    })
    this.#settle()
    return outcomes
  }

  commit(batch: Batch): Committed {
    const { table } = this.data
    table.promote(batch.nowMs)
    this.returnLeases(batch)
    const early = this.#bugs.leaseReturnedOutsideTransaction === true
    const outcomes = batch.decisions.map((changes) =>
      this.#decide(early ? changes.filter(({ kind }) => kind !== 'end_attempt') : changes),
    )
    const leases = batch.claims.map((claim) => table.claim(claim, batch.nowMs))
    table.settleDepths()
    const depths = table.depths.snapshot(new Set([...table.depths.touched(), ...batch.claims.map(({ pool }) => pool)]))
    table.depths.keep()
    return { outcomes, leases, depths }
  }

  returnLeases(batch: Batch): void {
    if (this.#bugs.leaseReturnedOutsideTransaction !== true) return
    for (const change of batch.decisions.flat()) if (change.kind === 'end_attempt') this.#decide([change])
    this.#settle()
  }

  retry: (...args: Parameters<Store['retry']>) => Awaited<ReturnType<Store['retry']>> = (taskId, input, nowMs) => {
    const entry = this.data.table.entries.get(taskId)
    if (entry === undefined) return 'not_found'
    const again = sentAgain(entry.row, nowMs)
    if (again === 'not_final') return 'not_final'
    this.data.table.set(again)
    entry.steps.clear()
    if (input !== undefined) entry.input = input
    this.#settle()
    return 'queued'
  }

  resolve: (...args: Parameters<Store['resolve']>) => Awaited<ReturnType<Store['resolve']>> = (
    taskId,
    answer,
    nowMs,
  ) => {
    const entry = this.data.table.entries.get(taskId)
    if (entry === undefined) return 'not_found'
    const resolved = resolution(entry.row, inDoubt(entry), answer, nowMs)
    if (resolved === 'not_held') return 'not_held'
    this.data.table.set(resolved.after)
    if (resolved.put !== null) this.#put(entry, resolved.put)
    for (const step of resolved.drop) entry.steps.delete(stepId(step.name, step.key))
    this.#settle()
    return resolved.outcome
  }

  view(entry: Entry | undefined, whole: boolean): TaskView | null {
    if (entry === undefined) return null
    const { row, task, input } = entry
    const listed = whole || row.output === null || Buffer.byteLength(JSON.stringify(row.output)) <= 4_096
    const output = listed ? row.output : null
    const steps = whole ? [...entry.steps.values()] : []
    return { ...viewed(row), idempotencyKey: task.idempotencyKey, needs: task.needs, input, output, steps }
  }

  tasks({ pool, status, limit, cursor }: TaskQuery): Page<TaskView> {
    const wanted = [...this.data.table.entries.values()].filter(
      ({ row }) =>
        (pool ?? row.pool) === row.pool &&
        (status ?? row.status) === row.status &&
        row.seq < Number(cursor ?? Infinity),
    )
    const { rows, last, more } = page(wanted.reverse(), limit)
    const views = rows.map((entry) => this.view(entry, false)).filter((view) => view !== null)
    return { rows: views, cursor: more && last ? String(last.row.seq) : null }
  }

  incidents({ open, status, replica, taskId, limit, cursor }: IncidentQuery): Page<Incident> {
    const wanted = [...this.data.incidents.values()]
      .map((incident, seq) => ({ incident, seq }))
      .filter(
        ({ incident, seq }) =>
          (open === undefined || open === (incident.status !== 'closed')) &&
          (status ?? incident.status) === incident.status &&
          (replica === undefined || replica === incident.replica) &&
          (taskId === undefined || taskId === incident.taskId) &&
          seq < Number(cursor ?? Infinity),
      )
    const { rows, last, more } = page(wanted.reverse(), limit)
    return { rows: rows.map(({ incident }) => incident), cursor: more && last ? String(last.seq) : null }
  }

  prune(keep: { readonly finishedTasks: number; readonly closedIncidents: number }): number {
    const { table, incidents } = this.data
    const tooMany = Math.min(table.finished - keep.finishedTasks, limits.prunedPerCall)
    const oldest =
      tooMany <= 0
        ? []
        : [...table.entries.values()]
            .filter(({ row }) => isFinal(row.status))
            .sort(byFinish)
            .slice(0, tooMany)
    for (const entry of oldest) table.delete(entry)
    const closed = [...incidents.values()].filter(({ status }) => status === 'closed')
    const old = closed.slice(0, Math.min(Math.max(0, closed.length - keep.closedIncidents), limits.prunedPerCall))
    for (const { id } of old) incidents.delete(id)
    return oldest.length + old.length
  }

  #decide(changes: readonly Change[]): Committed['outcomes'][number] {
    if (this.#bugs.refundsForgotten === true && changes.some(({ kind }) => kind === 'refund'))
      return this.#decide(changes.filter(({ kind }) => kind !== 'refund'))
    const effects = decisionEffects(this.#bugs.fenceNotChecked ? this.#forged(changes) : changes, this.data.table)
    if (typeof effects === 'string') return effects
    for (const effect of effects) this.#apply(effect)
    return 'applied'
  }

  /** The same changes under whatever fence is current: the bug "fence not checked". */
  #forged(changes: readonly Change[]): Change[] {
    const raised = new Map<string, number>()
    return changes.map((change) => {
      if (!('fence' in change)) return change
      const { taskId } = change
      const fence = raised.get(taskId) ?? this.data.table.task(taskId)?.fence ?? change.fence
      if (change.kind === 'revoke') raised.set(taskId, fence + 1)
      return { ...change, fence }
    })
  }

  #apply(effect: Effect): void {
    const { table, incidents, replicas, pools, dependencies, audit, outbox } = this.data
    if (effect.kind === 'task') return table.set(effect.after)
    if (effect.kind === 'step') {
      const entry = table.entries.get(effect.task.id)
      return entry && this.#put(entry, effect.step)
    }
    const { change } = effect
    if (change.kind === 'incident') incidents.set(change.incident.id, change.incident)
    if (change.kind === 'notification') outbox.add(change)
    if (change.kind === 'outbox') outbox.write(change.write)
    if (change.kind === 'replica') replicas.set(change.record.name, change.record)
    if (change.kind === 'forget_replica') replicas.delete(change.replica)
    if (change.kind === 'pool') pools.set(change.record.pool, change.record)
    if (change.kind === 'dependency') dependencies.set(change.record.dependency, change.record)
    if (change.kind === 'audit') {
      const { kind: _, ...row } = change
      audit.push(row)
      if (audit.length > limits.auditRowsKept) audit.shift()
    }
  }

  #put(entry: Entry, step: JournalStep): void {
    entry.steps.set(stepId(step.name, step.key), step)
  }

  #settle(): void {
    this.data.table.settleDepths()
    this.data.table.depths.keep()
  }
}

function inDoubt(entry: Entry): JournalStep[] {
  return [...entry.steps.values()].filter(({ state, repeat }) => state === 'started' && repeat === 'ask_human')
}

function byFinish(a: Entry, b: Entry): number {
  return Number(a.row.finishedMs) - Number(b.row.finishedMs) || a.row.seq - b.row.seq
}

function page<Row>(rows: readonly Row[], limit: number) {
  const size = Math.max(1, Math.min(limit, limits.pageRows))
  return { rows: rows.slice(0, size), last: rows[Math.min(size, rows.length) - 1], more: rows.length > size }
}
