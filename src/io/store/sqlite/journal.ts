import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { JournalStep, RepeatWord } from '../../../model/task.ts'
import type { TaskRow } from '../task-row.ts'
import { withText } from './task-columns.ts'

interface StepRow {
  readonly name: string
  readonly key: string
  readonly repeat: RepeatWord
  readonly started_ms: number
  readonly ended_ms: number | null
  readonly result: string | null
}

/** The steps of tasks. Results stay text until the reader's side of the thread boundary. */
export class Journal {
  readonly #put: StatementSync
  readonly #find: StatementSync
  readonly #list: StatementSync
  readonly #doubt: StatementSync
  readonly #drop: StatementSync
  readonly #clear: StatementSync

  constructor(db: DatabaseSync) {
    const columns = 'name, key, repeat, started_ms, ended_ms, result'
    this.#put = db.prepare(`INSERT INTO step (task, ${columns}) VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (task, name, key) DO UPDATE SET repeat = excluded.repeat, started_ms = excluded.started_ms,
      ended_ms = excluded.ended_ms, result = excluded.result WHERE step.ended_ms IS NULL`)
    this.#find = db.prepare(`SELECT ${columns} FROM step WHERE task = ? AND name = ? AND key = ?`)
    this.#list = db.prepare(`SELECT ${columns} FROM step WHERE task = ? ORDER BY id`)
    this.#doubt = db.prepare(`SELECT ${columns} FROM step WHERE task = ? AND repeat = 'ask_human' AND ended_ms IS NULL
      ORDER BY id`)
    this.#drop = db.prepare('DELETE FROM step WHERE task = ? AND name = ? AND key = ? AND ended_ms IS NULL')
    this.#clear = db.prepare('DELETE FROM step WHERE task = ?')
  }

  /** I4. A step that is done stays as it is, whoever asks. */
  put(task: number, step: JournalStep): void {
    const { name, key, repeat, startedMs } = step
    if (step.state === 'started') this.#put.run(task, name, key, repeat, startedMs, null, null)
    else this.#put.run(task, name, key, repeat, startedMs, step.endedMs, JSON.stringify(step.result))
  }

  find(task: number, name: string, key: string): JournalStep | undefined {
    const row = this.#find.get(task, name, key) as unknown as StepRow | undefined
    return row && (JSON.parse(stepText(row)) as JournalStep)
  }

  /** Every step of a task, in order of their start, as JSON text. */
  text(task: TaskRow): string {
    if (task.steps === 0) return '[]'
    return `[${(this.#list.all(task.seq) as unknown as StepRow[]).map(stepText).join()}]`
  }

  /** Steps that started, have no result, and must not be repeated without a person. */
  inDoubt(task: number): JournalStep[] {
    return (this.#doubt.all(task) as unknown as StepRow[]).map((row) => JSON.parse(stepText(row)) as JournalStep)
  }

  drop(task: number, step: JournalStep): void {
    this.#drop.run(task, step.name, step.key)
  }

  clear(task: number): void {
    this.#clear.run(task)
  }
}

function stepText({ name, key, repeat, started_ms: startedMs, ended_ms: endedMs, result }: StepRow): string {
  if (endedMs === null || result === null) return JSON.stringify({ state: 'started', name, key, repeat, startedMs })
  return withText({ state: 'done', name, key, repeat, startedMs, endedMs }, { result })
}
