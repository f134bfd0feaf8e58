import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import type { IncidentId, TaskId } from '../../../model/ids.ts'
import { limits } from '../../../model/limits.ts'
import type { IncidentQuery, TaskQuery } from '../../../port/store.ts'
import { viewed } from '../task-row.ts'
import type { Journal } from './journal.ts'
import { rowColumns, rowFrom, rowWidth, type Values, withText } from './task-columns.ts'

const viewColumns = `${rowColumns}, idempotency_key, needs, input`
/** Outputs above this are left out of lists, bytes. */
const listedOutputBytes = 4_096

/** What doors ask. Answers are JSON text, so that payloads are parsed once, by their reader. */
export class Reads {
  readonly #db: DatabaseSync
  readonly #journal: Journal
  /** Lists by their SQL: at most a dozen shapes. */
  readonly #lists = new Map<string, StatementSync>()
  readonly #task: StatementSync
  readonly #overdue: StatementSync
  readonly #incident: StatementSync

  constructor(db: DatabaseSync, journal: Journal) {
    this.#db = db
    this.#journal = journal
    this.#task = db.prepare(`SELECT ${viewColumns}, output FROM task WHERE id = ?`)
    this.#task.setReturnArrays(true)
    this.#overdue = db.prepare(`SELECT id FROM task WHERE deadline_ms IS NOT NULL AND deadline_ms <= ?
      AND status IN ('queued', 'scheduled', 'held') ORDER BY deadline_ms LIMIT ?`)
    this.#incident = db.prepare('SELECT body FROM incident WHERE id = ?')
  }

  task(id: TaskId): string {
    const values = this.#task.get(id) as unknown as Values | undefined
    if (values === undefined) return 'null'
    return taskText(values, this.#journal.text(rowFrom(values)))
  }

  tasks(query: TaskQuery): string {
    const filter = new Filter()
    filter.equal('pool', query.pool)
    filter.equal('status', query.status)
    // Said in the index's own words, or SQLite does not see that it fits.
    if (!(query.status === undefined || query.status === 'queued' || query.status === 'done')) {
      filter.add(`status NOT IN ('queued', 'done')`)
    }
    filter.before(query.cursor)
    const columns = `${viewColumns}, iif(octet_length(output) <= ?, output, NULL)`
    const rows = this.#list('task', columns, filter).iterate(
      listedOutputBytes,
      ...filter.values,
      pageLength(query.limit) + 1,
    )
    return pageText(rows, query.limit, (values) => taskText(values, '[]'))
  }

  overdue(nowMs: number, limit: number): string {
    return JSON.stringify(this.#overdue.all(nowMs, limit).map(({ id }) => id))
  }

  incident(id: IncidentId): string {
    return String(this.#incident.get(id)?.body ?? 'null')
  }

  incidents(query: IncidentQuery): string {
    const filter = new Filter()
    if (query.open !== undefined) filter.add(query.open ? `status <> 'closed'` : `status = 'closed'`)
    filter.equal('status', query.status)
    filter.equal('replica', query.replica)
    filter.equal('task', query.taskId)
    filter.before(query.cursor)
    const rows = this.#list('incident', 'seq, body', filter).iterate(...filter.values, pageLength(query.limit) + 1)
    return pageText(rows, query.limit, (values) => String(values[1]))
  }

  #list(table: string, columns: string, filter: Filter): StatementSync {
    const sql = `SELECT ${columns} FROM ${table} ${filter.sql()} ORDER BY seq DESC LIMIT ?`
    let statement = this.#lists.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare(sql)
      statement.setReturnArrays(true)
      this.#lists.set(sql, statement)
    }
    return statement
  }
}

class Filter {
  readonly values: SQLInputValue[] = []
  readonly #terms: string[] = []

  add(term: string, ...values: SQLInputValue[]): void {
    this.#terms.push(term)
    this.values.push(...values)
  }

  equal(column: string, value: string | undefined): void {
    if (value !== undefined) this.add(`${column} = ?`, value)
  }

  before(cursor: string | undefined): void {
    if (cursor !== undefined) this.add('seq < ?', Number(cursor))
  }

  sql(): string {
    return this.#terms.length === 0 ? '' : `WHERE ${this.#terms.join(' AND ')}`
  }
}

function pageLength(limit: number): number {
  return Math.max(1, Math.min(limit, limits.pageRows))
}

/** A page of rows whose first column is their `seq`. It ends early when its text grows too long. */
function pageText(rows: Iterable<unknown>, limit: number, text: (values: Values) => string): string {
  const page: string[] = []
  let length = 0
  let last = 0
  for (const values of rows as Iterable<Values>) {
    if (page.length === pageLength(limit) || length > limits.pageTextLength) {
      return `{"rows":[${page.join()}],"cursor":"${last}"}`
    }
    const row = text(values)
    page.push(row)
    length += row.length
    last = values[0] as number
  }
  return `{"rows":[${page.join()}],"cursor":null}`
}

function taskText(values: Values, steps: string): string {
  const [idempotencyKey, needs, input, output] = values.slice(rowWidth)
  return withText(
    { ...viewed(rowFrom(values)), idempotencyKey },
    { needs: String(needs ?? '[]'), input: String(input), output: String(output ?? 'null'), steps },
  )
}
