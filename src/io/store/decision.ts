/**
 * Works out a decision before anything of it is written (I2): its changes are
 * applied to drafts, and only a decision that was accepted whole reaches the
 * rows. A refused one therefore needs no rollback.
 */

import { assertNever } from '../../model/assert.ts'
import type { Change, NextState } from '../../model/change.ts'
import type { TaskId } from '../../model/ids.ts'
import { limits } from '../../model/limits.ts'
import { nothingSpent } from '../../model/spent.ts'
import type { JournalStep } from '../../model/task.ts'
import type { ResolveAnswer } from '../../port/store.ts'
import {
  attemptEnded,
  ownsLease,
  type Refusal,
  refunded,
  revoked,
  spending,
  type TaskRow,
  waitingEnded,
} from './task-row.ts'

/** What a decision reads. */
export interface Rows {
  task(id: TaskId): TaskRow | undefined
  step(row: TaskRow, name: string, key: string): JournalStep | undefined
}

type LedgerChange = Extract<
  Change,
  {
    readonly kind:
      | 'incident'
      | 'notification'
      | 'outbox'
      | 'replica'
      | 'forget_replica'
      | 'pool'
      | 'dependency'
      | 'audit'
      | 'renew'
  }
>
export type Effect =
  | { readonly kind: 'task'; readonly before: TaskRow; readonly after: TaskRow }
  | { readonly kind: 'step'; readonly task: TaskRow; readonly step: JournalStep }
  | { readonly kind: 'ledger'; readonly change: LedgerChange }

/** What a decision writes, in order, or why it is refused. */
export function decisionEffects(changes: readonly Change[], rows: Rows): readonly Effect[] | Refusal {
  const draft = new Draft(rows)
  for (const change of changes) {
    const refusal = draft.apply(change)
    if (refusal !== null) return refusal
  }
  return draft.effects
}

class Draft {
  readonly effects: Effect[] = []
  readonly #rows: Rows

  constructor(rows: Rows) {
    this.#rows = rows
  }

  apply(change: Change): Refusal | null {
    switch (change.kind) {
      case 'revoke':
        return this.#move(change.taskId, (row) => revoked(row, change.fence))
      case 'end_attempt':
        return this.#move(change.taskId, (row) => attemptEnded(row, change))
      case 'spend':
        return this.#move(change.taskId, (row) => spending(row, change))
      case 'finish_waiting':
        return this.#move(change.taskId, (row) => waitingEnded(row, change.next, change.atMs))
      case 'step_started':
      case 'step_done':
        return this.#step(change)
      case 'refund': {
        // A task that was pruned needs no refund, and must not cost the decision its other changes.
        const row = this.#task(change.taskId)
        if (row !== undefined) this.#write(row, refunded(row, change.attempts, change.losses))
        return null
      }
      case 'renew':
      case 'incident':
      case 'notification':
      case 'outbox':
      case 'replica':
      case 'forget_replica':
      case 'pool':
      case 'dependency':
      case 'audit':
        this.effects.push({ kind: 'ledger', change })
        return null
      default:
        return assertNever(change)
    }
  }

  #move(id: TaskId, transition: (row: TaskRow) => TaskRow | Refusal): Refusal | null {
    const row = this.#task(id)
    if (row === undefined) return 'conflict'
    const after = transition(row)
    if (typeof after === 'string') return after
    this.#write(row, after)
    return null
  }

  #step(change: Extract<Change, { readonly kind: 'step_started' | 'step_done' }>): Refusal | null {
    const row = this.#task(change.taskId)
    if (row === undefined) return 'conflict'
    if (!ownsLease(row, change.fence)) return 'stale'
    const { name, key, repeat } = change
    const known = this.#journaled(row, name, key)
    const step: JournalStep =
      change.kind === 'step_started'
        ? { state: 'started', name, key, repeat, startedMs: change.atMs }
        : { state: 'done', name, key, repeat, result: change.result, startedMs: change.startedMs, endedMs: change.atMs }
    if (known?.state === 'done') {
      // I4. The same result again is an echo; another one must not believe that it was kept.
      return step.state === 'done' && JSON.stringify(step.result) === JSON.stringify(known.result) ? null : 'conflict'
    }
    if (known === undefined) {
      if (row.steps >= limits.stepsPerTask) return 'conflict'
      this.#write(row, { ...row, steps: row.steps + 1 })
    }
    this.effects.push({ kind: 'step', task: row, step })
    return null
  }

  #write(before: TaskRow, after: TaskRow): void {
    this.effects.push({ kind: 'task', before, after })
  }

  /** The newest draft, or the row. Decisions are a few changes long, so looking back is cheaper than an index. */
  #task(id: TaskId): TaskRow | undefined {
    for (let index = this.effects.length - 1; index >= 0; index -= 1) {
      const effect = this.effects[index]
      if (effect?.kind === 'task' && effect.after.id === id) return effect.after
    }
    return this.#rows.task(id)
  }

  #journaled(row: TaskRow, name: string, key: string): JournalStep | undefined {
    for (let index = this.effects.length - 1; index >= 0; index -= 1) {
      const effect = this.effects[index]
      if (
        effect?.kind === 'step' &&
        effect.task.seq === row.seq &&
        effect.step.name === name &&
        effect.step.key === key
      ) {
        return effect.step
      }
    }
    return row.steps === 0 ? undefined : this.#rows.step(row, name, key)
  }
}

export interface Resolution {
  readonly outcome: 'queued' | 'failed'
  readonly after: TaskRow
  readonly put: JournalStep | null
  readonly drop: readonly JournalStep[]
}

/** A person's answer about a held task: whatever it was held for, its budget begins anew. `inDoubt`: its steps that started and have no result, oldest first. */
export function resolution(
  row: TaskRow,
  inDoubt: readonly JournalStep[],
  answer: ResolveAnswer,
  nowMs: number,
): Resolution | 'not_held' {
  if (row.status !== 'held') return 'not_held'
  const go = (next: NextState) => waitingEnded(row, next, nowMs) as TaskRow
  const queued = { ...go({ status: 'queued', notBeforeMs: null, avoid: null }), spent: nothingSpent }
  switch (answer.kind) {
    case 'result': {
      const step = inDoubt[0]
      if (step === undefined) return 'not_held' // It waits for something else than a result.
      const put: JournalStep = { ...step, state: 'done', result: answer.result, endedMs: nowMs }
      return { outcome: 'queued', after: queued, put, drop: [] }
    }
    case 'repeat':
      return { outcome: 'queued', after: { ...queued, steps: row.steps - inDoubt.length }, put: null, drop: inDoubt }
    case 'fail': {
      const error = { name: 'ResolvedAsFailed', message: answer.reason }
      const after = go({ status: 'failed', error, reason: answer.reason })
      return { outcome: 'failed', after, put: null, drop: [] }
    }
    default:
      return assertNever(answer)
  }
}
