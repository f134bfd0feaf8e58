import { expect, test } from 'vitest'
import { poolSpec, runningAttempt } from '../../../test/fixtures/specs.ts'
import type { AttemptRow, OpenCall } from '../../model/rows.ts'
import { judgeProgress } from './stall.ts'

const { deadlines } = poolSpec()
const call = (kind: OpenCall['kind'], sinceMs: number, forMs: number): OpenCall => ({
  call: 1,
  kind,
  name: 'x',
  key: null,
  repeat: 'safe_to_retry',
  timeoutMs: null,
  blocking: false,
  args: null,
  dependency: null,
  poll: false,
  sinceMs,
  deadlineMs: sinceMs + forMs,
})

test.each<{ name: string; attempt: Partial<AttemptRow>; nowMs: number; kind: string }>([
  { name: 'nothing declared, one ms before the idle deadline', attempt: {}, nowMs: 599_999, kind: 'fine' },
  { name: 'nothing declared, at the idle deadline', attempt: {}, nowMs: 600_000, kind: 'stalled' },
  { name: 'a tool inside its deadline', attempt: { calls: [call('tool', 0, 120_000)] }, nowMs: 119_999, kind: 'fine' },
  { name: 'a tool past its deadline', attempt: { calls: [call('tool', 0, 120_000)] }, nowMs: 120_000, kind: 'stalled' },
  {
    name: 'progress moves the deadline of a tool',
    attempt: { progressMs: 60_000, calls: [call('tool', 0, 120_000)] },
    nowMs: 179_999,
    kind: 'fine',
  },
  {
    name: 'the shorter of two calls counts',
    attempt: { calls: [call('step', 0, 600_000), call('tool', 0, 1_000)] },
    nowMs: 1_000,
    kind: 'stalled',
  },
  {
    name: 'an open wait excuses the step around it',
    attempt: { calls: [call('step', 0, 1_000), call('wait', 0, 5_000)] },
    nowMs: 4_999,
    kind: 'fine',
  },
  {
    name: 'until its own end',
    attempt: { calls: [call('step', 0, 1_000), call('wait', 0, 5_000)] },
    nowMs: 5_000,
    kind: 'stalled',
  },
  {
    name: 'an attempt that has not started stalls on nothing',
    attempt: { phase: { kind: 'sent' } },
    nowMs: 900_000,
    kind: 'fine',
  },
])('$name', ({ attempt, nowMs, kind }) => {
  expect(judgeProgress(runningAttempt('t', attempt), deadlines, nowMs, 0).kind).toBe(kind)
})

test('a time limit of the attempt holds whatever the progress', () => {
  const limited = { ...deadlines, taskMs: 10_000 }
  expect(judgeProgress(runningAttempt('t', { progressMs: 9_999 }), limited, 9_999, 0).kind).toBe('fine')
  expect(judgeProgress(runningAttempt('t', { progressMs: 9_999 }), limited, 10_000, 0).kind).toBe('stalled')
})

test('our own lag stretches every deadline', () => {
  expect(judgeProgress(runningAttempt('t'), deadlines, 600_000, 1).kind).toBe('fine')
})
