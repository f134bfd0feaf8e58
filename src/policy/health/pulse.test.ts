import { describe, expect, test } from 'vitest'
import { poolSpec, readyReplica, runningAttempt } from '../../../test/fixtures/specs.ts'
import type { ProcessLook } from '../../model/observation.ts'
import type { AttemptRow } from '../../model/rows.ts'
import { judgePulse } from './pulse.ts'

const { pulse } = poolSpec()
const stepMs = 600_000
const look = (atMs: number, state: ProcessLook['state'], cpuMs = 0, children = 0) => ({ atMs, state, cpuMs, children })
const blocking = (deadlineMs: number): AttemptRow =>
  runningAttempt('t', {
    calls: [
      {
        call: 1,
        kind: 'wait',
        name: 'w',
        key: null,
        repeat: 'safe_to_retry',
        timeoutMs: null,
        blocking: true,
        args: null,
        dependency: null,
        poll: false,
        sinceMs: 0,
        deadlineMs,
      },
    ],
  })

function judge(
  nowMs: number,
  first: ReturnType<typeof look> | null,
  last: ReturnType<typeof look> | null,
  more: { lagMs?: number; attempts?: readonly AttemptRow[] } = {},
) {
  const row = readyReplica(0, {
    pulse: { lastMs: 0, heardMs: 0, firstLook: first, lastLook: last, askedMs: last?.atMs ?? null },
  })
  return judgePulse(row, more.attempts ?? [], pulse, stepMs, nowMs, more.lagMs ?? 0)
}

describe('silence of the main loop', () => {
  test.each([
    { name: 'just under suspect: fine', verdict: judge(2_999, null, null), kind: 'fine' },
    { name: 'suspect: look', verdict: judge(3_000, null, null), kind: 'look' },
    { name: 'suspect is stretched by our own lag', verdict: judge(3_000, null, null, { lagMs: 100 }), kind: 'fine' },
    { name: 'stopped, but not yet hung', verdict: judge(4_999, look(3_000, 'T'), look(4_900, 'T')), kind: 'fine' },
    {
      name: 'hung needs a look after the hung threshold',
      verdict: judge(5_600, look(3_000, 'T'), look(4_999, 'T')),
      kind: 'look',
    },
    { name: 'stopped: hung', verdict: judge(5_000, look(3_000, 'T'), look(5_000, 'T')), kind: 'hung' },
    { name: 'spinning: hung', verdict: judge(5_000, look(3_000, 'R', 0), look(5_000, 'R', 200)), kind: 'hung' },
    {
      name: 'runnable without CPU: starved by its neighbours, not hung',
      verdict: judge(5_000, look(3_000, 'R', 0), look(5_000, 'R', 199)),
      kind: 'fine',
    },
    {
      name: 'running with a child process: waiting',
      verdict: judge(5_000, look(3_000, 'R', 0), look(5_000, 'R', 900, 1)),
      kind: 'fine',
    },
    { name: 'asleep: waiting', verdict: judge(5_000, look(3_000, 'S'), look(5_000, 'S')), kind: 'fine' },
    {
      name: 'asleep up to the step deadline',
      verdict: judge(599_999, look(3_000, 'S'), look(599_900, 'S')),
      kind: 'fine',
    },
    {
      name: 'asleep past the step deadline: hung',
      verdict: judge(600_000, look(3_000, 'S'), look(600_000, 'S')),
      kind: 'hung',
    },
    {
      name: 'a declared block excuses even a spin',
      verdict: judge(8_999, look(3_000, 'R', 0), look(5_000, 'R', 2_000), { attempts: [blocking(9_000)] }),
      kind: 'fine',
    },
    {
      name: 'until its deadline',
      verdict: judge(9_000, look(3_000, 'R', 0), look(9_000, 'R', 2_000), { attempts: [blocking(9_000)] }),
      kind: 'hung',
    },
  ])('$name', ({ verdict, kind }) => {
    expect(verdict.kind).toBe(kind)
  })
})
