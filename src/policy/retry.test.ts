import { expect, test } from 'vitest'
import { poolSpec, runningAttempt } from '../../test/fixtures/specs.ts'
import type { AttemptRow, Ending } from '../model/rows.ts'
import { nextAfter } from './retry.ts'

const spec = poolSpec()
const failed: Ending = { outcome: 'failed', counted: true, lost: false, error: null, evidence: [], finish: null }
const crashed: Ending = { ...failed, outcome: 'crashed', lost: true }
const returned: Ending = { ...failed, outcome: 'returned', counted: false }

test.each<{ name: string; attempt: Partial<AttemptRow>; ending: Ending; is: string }>([
  { name: 'first failure: tried again', attempt: {}, ending: failed, is: 'queued' },
  { name: 'second failure: tried again', attempt: { countedAttempts: 1 }, ending: failed, is: 'queued' },
  { name: 'third failure: failed', attempt: { countedAttempts: 2 }, ending: failed, is: 'failed' },
  { name: 'an uncounted end never fails a task', attempt: { countedAttempts: 99 }, ending: returned, is: 'queued' },
  {
    name: 'second replica lost: tried again',
    attempt: { countedAttempts: 1, lostReplicas: ['p/1'] },
    ending: crashed,
    is: 'queued',
  },
  {
    name: 'third replica lost: poison',
    attempt: { countedAttempts: 2, lostReplicas: ['p/1', 'p/2'] },
    ending: crashed,
    is: 'poison',
  },
  {
    name: 'in doubt: held, however often it may be retried',
    attempt: { inDoubt: [{ name: 'pay', key: '1' }] },
    ending: crashed,
    is: 'held',
  },
  {
    name: 'cancelled wins over all',
    attempt: { inDoubt: [{ name: 'pay', key: '1' }] },
    ending: { ...failed, finish: 'cancelled' },
    is: 'cancelled',
  },
  { name: 'past the deadline', attempt: { deadlineMs: 1_000 }, ending: crashed, is: 'failed' },
  { name: 'one ms before the deadline', attempt: { deadlineMs: 1_001 }, ending: crashed, is: 'queued' },
])('$name', ({ attempt, ending, is }) => {
  const step = nextAfter(runningAttempt('t', attempt), ending, spec, 1_000)
  expect(step.kind === 'poison' ? 'poison' : step.next.status).toBe(is)
})

test('a failed run waits by the backoff, a lost replica does not', () => {
  const wait = nextAfter(runningAttempt('t', { countedAttempts: 1 }), failed, spec, 1_000)
  expect(wait).toMatchObject({ next: { notBeforeMs: 3_000, avoid: { replica: 'p/0' } } })
  expect(nextAfter(runningAttempt('t'), crashed, spec, 1_000)).toMatchObject({
    next: { notBeforeMs: null, avoid: { replica: 'p/0', untilMs: 11_000 } },
  })
})
