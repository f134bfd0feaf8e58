import { expect, test } from 'vitest'
import { nothingSpent } from '../../src/model/spent.ts'
import type { TaskView } from '../../src/model/task.ts'
import { check } from './checked.ts'

const taskId = 't1'
const first = { replica: 'pool/0', incarnation: 1 } as const
const view: TaskView = {
  ...{ id: taskId, pool: 'pool', status: 'done', input: null, priority: 0, idempotencyKey: null, needs: [] },
  ...{ submittedMs: 0, notBeforeMs: null, deadlineMs: null, finishedMs: null, fence: 1, lease: null, attempts: [] },
  ...{ countedAttempts: 0, spent: nothingSpent, output: null, error: null, reason: null, steps: [] },
}
const crashed = { attempt: 2, startedMs: 0, endedMs: 0, outcome: 'crashed', counted: true, ...first } as const

test.each<{ readonly name: string; readonly task: TaskView | null; readonly rules: readonly string[] }>([
  { name: 'done', task: view, rules: [] },
  { name: 'lost', task: null, rules: ['not_lost'] },
  { name: 'still queued', task: { ...view, status: 'queued' }, rules: ['drains'] },
  {
    name: 'failed with attempts left',
    task: { ...view, status: 'failed', countedAttempts: 2 },
    rules: ['attempts_counted'],
  },
  { name: 'failed with all attempts used', task: { ...view, status: 'failed', countedAttempts: 3 }, rules: [] },
  {
    name: 'dead after three replicas',
    task: { ...view, status: 'dead_letter', attempts: [crashed, crashed, crashed] },
    rules: [],
  },
  {
    name: 'dead after four',
    task: { ...view, status: 'dead_letter', attempts: [crashed, crashed, crashed, crashed] },
    rules: ['poison_bounded'],
  },
])('at the end, $name: $rules', ({ task, rules }) => {
  const { trace, checkers } = check()
  checkers.end(taskId, task)
  expect(trace.violations.map((violation) => violation.rule)).toEqual(rules)
})

test.each<{ readonly name: string; readonly countedAttempts: number; readonly rules: readonly string[] }>([
  { name: 'that its history charged it', countedAttempts: 1, rules: [] },
  { name: 'that was given back', countedAttempts: 2, rules: ['refunds_kept'] },
])('at the end, a task cancelled with an attempt $name: $rules', ({ countedAttempts, rules }) => {
  const { trace, checkers } = check()
  const end = { kind: 'end_attempt', taskId, atMs: 0, outcome: 'failed', counted: true, lostReplica: null } as const
  const next = { status: 'queued', notBeforeMs: null, avoid: null } as const
  const decisions = [0, 1].map((fence) => [{ ...end, fence, error: null, previous: null, next }])
  const refund = { kind: 'refund', taskId, attempts: 1, losses: 0 } as const
  const result = { outcomes: ['applied', 'applied', 'applied'], leases: [], depths: {} } as const
  trace.note({ kind: 'committed', batch: { nowMs: 0, decisions: [...decisions, [refund]], claims: [] }, result })
  const before = trace.violations.length
  checkers.end(taskId, { ...view, status: 'cancelled', countedAttempts })
  expect(trace.violations.slice(before).map((violation) => violation.rule)).toEqual(rules)
})
