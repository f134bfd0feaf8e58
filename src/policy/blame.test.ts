import { expect, test } from 'vitest'
import { openCall, poolSpec, readyReplica, runningAttempt } from '../../test/fixtures/specs.ts'
import { viewAfter, viewOf } from '../../test/fixtures/view.ts'
import type { AttemptRow } from '../model/rows.ts'
import { acquitTask, blameTask, closeCase, verdictDueMs } from './blame.ts'
import { Draft, type View } from './outcome.ts'
import { onFault } from './recover.ts'

const spec = poolSpec({ concurrency: 2 })

/** The replica with what it had in hand, after its process ended or its attempt stalled. */
function failed(attempts: readonly AttemptRow[], kind: 'crashed' | 'stalled' = 'crashed'): View {
  const view = viewOf({ spec, attempts, poolAttempts: attempts, siblings: [readyReplica(1)], nowMs: 1_000 })
  const attempt = kind === 'stalled' ? (attempts[0] ?? null) : null
  const sign = { kind, evidence: ['seen'], firstSignMs: 1_000, error: null, gone: kind === 'crashed' } as const
  return viewAfter(view, onFault(view, { ...sign, attempt, needsHard: false }))
}

/** The same after something became known of a task. */
function after(view: View, learn: (draft: Draft, view: View) => void): View {
  const draft = new Draft()
  learn(draft, view)
  return viewAfter(view, draft.finish())
}

const done = (task: string) => (draft: Draft, view: View) => acquitTask(draft, view, task)
const over = (task: string) => (draft: Draft, view: View) => closeCase(draft, view, task)
const guilty = (task: string) => (draft: Draft, view: View) =>
  blameTask(draft, view, task, { culprit: 'task', confidence: 1, because: 'seen elsewhere', table: [] })

const [a, b] = [runningAttempt('a'), runningAttempt('b')]
const onProvider = runningAttempt('a', { calls: [openCall({ dependency: 'provider' })] })

test.each([
  { name: 'nothing is known yet', view: failed([a]), learn: [], culprit: 'unknown', waits: true },
  { name: 'its task completed elsewhere: the agent', view: failed([a]), learn: [done('a')], culprit: 'agent' },
  { name: 'of two in hand one completed', view: failed([a, b]), learn: [done('a')], culprit: 'unknown', waits: true },
  { name: 'of two both completed', view: failed([a, b]), learn: [done('a'), done('b')], culprit: 'agent' },
  { name: 'the second in hand is guilty', view: failed([a, b]), learn: [guilty('b')], culprit: 'task' },
  {
    name: 'guilty after an acquittal of the other',
    view: failed([a, b]),
    learn: [done('a'), guilty('b')],
    culprit: 'task',
  },
  {
    name: 'a task that was elsewhere says nothing',
    view: failed([a]),
    learn: [done('b')],
    culprit: 'unknown',
    waits: true,
  },
  { name: 'its task ended without a word', view: failed([a]), learn: [over('a')], culprit: 'unknown' },
  {
    name: 'a stall on a dependency: that may have been it',
    view: failed([onProvider], 'stalled'),
    learn: [done('a')],
    culprit: 'unknown',
  },
  {
    name: 'a crash beside a call on a dependency: no dependency ends a sound process',
    view: failed([onProvider]),
    learn: [done('a')],
    culprit: 'agent',
  },
])('$name', ({ view, learn, culprit, waits = false }) => {
  const end = learn.reduce(after, view)
  expect(end.incident?.fault.culprit).toBe(culprit)
  expect(verdictDueMs(end)).toBe(waits ? 1_000 + spec.recovery.strikePeriodMs : null)
})

test('a guilty task gives back the strikes that were charged for it', () => {
  const view = failed([a])
  expect(view.replica.strikes).toHaveLength(1)
  expect(after(view, guilty('a')).replica.strikes).toEqual([])
})
