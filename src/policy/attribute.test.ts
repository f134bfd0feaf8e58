import { expect, test } from 'vitest'
import type { FailureMark } from '../model/rows.ts'
import { attribute } from './attribute.ts'

const mark = (replica: number, taskId: string | null, kind: FailureMark['kind'] = 'crashed'): FailureMark => ({
  atMs: 0,
  kind,
  replica: `p/${replica}`,
  taskId,
  suspects: taskId === null ? [] : [taskId],
  awaited: [],
  dependency: null,
  counted: true,
  lost: true,
})
const quiet = { nowMs: 0, dependency: null, nodeRefused: null, lagMs: 0 }

test.each([
  { name: 'the first failure of both: unknown', marks: [mark(0, 'a')], culprit: 'unknown' },
  { name: 'one task on two replicas: task', marks: [mark(0, 'a'), mark(1, 'a')], culprit: 'task' },
  { name: 'one replica on two tasks: agent', marks: [mark(0, 'a'), mark(0, 'b')], culprit: 'agent' },
  {
    name: 'the same task twice on one replica says nothing about either',
    marks: [mark(0, 'a'), mark(0, 'a')],
    culprit: 'unknown',
  },
  { name: 'a failure with no task in hand: agent', marks: [mark(0, null)], culprit: 'agent' },
  { name: 'a failed start is never a task', marks: [mark(0, null, 'start_failed')], culprit: 'agent' },
  {
    name: 'failed starts elsewhere do not count towards a task',
    marks: [mark(1, 'a', 'start_failed'), mark(0, 'a')],
    culprit: 'unknown',
  },
  {
    name: 'beside others in hand on the first replica, alone on the second: task',
    marks: [{ ...mark(0, 'b'), suspects: ['b', 'a'] }, mark(1, 'a')],
    culprit: 'task',
  },
  {
    name: 'two failures that one task in hand may explain do not accuse the replica',
    marks: [{ ...mark(0, 'b'), suspects: ['b', 'a'] }, mark(0, 'a')],
    culprit: 'unknown',
  },
  {
    name: 'once that task is acquitted they do',
    marks: [{ ...mark(0, 'b'), suspects: ['b'] }, mark(0, 'a')],
    culprit: 'agent',
  },
  {
    name: 'a task that follows its replicas beats a replica with two tasks',
    marks: [mark(0, 'a'), mark(1, 'b'), mark(1, 'a')],
    culprit: 'task',
  },
])('$name', ({ marks, culprit }) => {
  const last = marks.at(-1)
  if (last === undefined) throw new Error('no marks')
  expect(attribute(marks, last, quiet).culprit).toBe(culprit)
})

test('what is left to do about a convicted task is on its account, whatever else is known of the replica', () => {
  const last = mark(0, 'b', 'stalled')
  expect(attribute([mark(0, 'a'), last], last, { ...quiet, convicted: true }).culprit).toBe('task')
})
