import { describe, expect, test } from 'vitest'
import { modelUsage, openCall, poolSpec, readyReplica, recovery, runningAttempt } from '../../test/fixtures/specs.ts'
import { effectsOf, noticesOf, viewAfter, viewOf } from '../../test/fixtures/view.ts'
import { defaultLoopThresholds } from '../model/detect.ts'
import type { AttemptObservation, ModelUsage } from '../model/observation.ts'
import type { AttemptRow } from '../model/rows.ts'
import { decideReplica } from './decide.ts'
import { compactionsDue, onGauge, onRunFact } from './misbehave.ts'
import type { View } from './outcome.ts'
import { onFault } from './recover.ts'
import { heard } from './rows.ts'

const name = { replica: 'p/0', incarnation: 1, taskId: 't', fence: 1, atMs: 0 } as const
const args = { hash: 'a', length: 10, text: 'invoice' }
const attempt = runningAttempt('t', { calls: [openCall({ kind: 'tool', name: 'search', args })] })

function called(poll = false): { readonly attempt: AttemptRow; readonly observation: AttemptObservation } {
  const print = { hash: 'r', folded: 'r', length: 5 }
  return {
    attempt: { ...attempt, calls: [openCall({ kind: 'tool', name: 'search', args, poll })] },
    observation: { ...name, kind: 'call_ended', call: 1, ok: true, result: null, error: null, print },
  }
}

const prompted = (promptTokens: number, more: Partial<ModelUsage> = {}): AttemptObservation => ({
  ...{ ...name, kind: 'model_called', via: 'agent' },
  usage: modelUsage({ promptTokens, windowTokens: 10_000, toolCalls: 1, ...more }),
})

/** Effects of the newest of `count` identical calls. */
function afterCalls(count: number, start: View, poll = false) {
  let view = start
  let outcome = null
  for (let at = 0; at < count; at++) {
    const { attempt: row, observation } = called(poll)
    outcome = onRunFact({ ...view, attempts: [row] }, row, observation)
    view = viewAfter({ ...view, attempts: [row] }, outcome)
  }
  return { view, outcome }
}

describe('a loop', () => {
  const { nudge, act } = defaultLoopThresholds.same_call
  test.each<{ name: string; calls: number; poll?: boolean; start?: Partial<View>; effects: readonly string[] }>([
    { name: 'below the hint: nothing', calls: nudge - 1, effects: [] },
    { name: 'the hint', calls: nudge, effects: ['nudge'] },
    { name: 'between: the hint is given once', calls: act - 1, effects: [] },
    { name: 'the ladder', calls: act, effects: ['reset'] },
    { name: 'a polling tool: never', calls: 50, poll: true, effects: [] },
    {
      name: 'no hint where the pool wants none',
      calls: nudge,
      start: { spec: poolSpec({ recovery: { ...recovery, nudge: false } }) },
      effects: [],
    },
    {
      name: 'on probation the ladder comes sooner',
      calls: Math.ceil(act * 0.75),
      start: { replica: readyReplica(0, { probationUntilMs: 60_000 }) },
      effects: ['reset'],
    },
    {
      name: 'observe-only: not even the hint',
      calls: nudge,
      start: { spec: poolSpec({ recovery: { ...recovery, mode: 'observe' } }) },
      effects: [],
    },
    {
      name: 'observe-only: nor the ladder',
      calls: act,
      start: { spec: poolSpec({ recovery: { ...recovery, mode: 'observe' } }) },
      effects: [],
    },
  ])('$name', ({ calls, poll, start, effects }) => {
    expect(effectsOf(afterCalls(calls, viewOf(start), poll).outcome)).toEqual(effects)
  })

  test('a hint costs no strike, and its incident is the one that the ladder goes on with', () => {
    const hinted = afterCalls(nudge, viewOf()).view
    expect(hinted.replica.strikes).toEqual([])
    expect(hinted.incident).toMatchObject({ status: 'open', fault: { kind: 'tool_loop' } })
    const after = afterCalls(act - nudge, hinted).view
    expect(after.replica.strikes.length).toBe(1)
    expect(after.incident?.actions.map(({ kind }) => kind)).toEqual(['nudge', 'soft_restart'])
    expect(after.attempts[0]?.phase).toMatchObject({
      kind: 'returning',
      ending: { outcome: 'tool_loop', counted: true },
    })
  })

  test('an attempt under another fence begins anew', () => {
    const hinted = afterCalls(nudge - 1, viewOf()).view
    const { observation } = called()
    const next = { ...called().attempt, fence: 2 }
    const outcome = onRunFact({ ...hinted, attempts: [next] }, next, { ...observation, fence: 2 } as AttemptObservation)
    expect(effectsOf(outcome)).toEqual([])
    expect(outcome?.watches[0]?.run.facts).toBe(1)
  })
})

describe('a context', () => {
  const able = readyReplica(0, { compactable: true })
  const full = (replica = able) => {
    const view = viewOf({ attempts: [attempt], replica })
    const outcome = onRunFact(view, attempt, prompted(9_000))
    return { view: viewAfter(view, outcome), outcome }
  }

  test('at its share is compacted, once', () => {
    const { view, outcome } = full()
    expect(effectsOf(outcome)).toEqual(['compact'])
    expect(effectsOf(onRunFact(view, attempt, prompted(9_500)))).toEqual([])
  })

  test('one token below it is not', () => {
    expect(effectsOf(onRunFact(viewOf({ replica: able }), attempt, prompted(8_999)))).toEqual([])
  })

  test('of an agent that cannot compact goes to the ladder at once', () => {
    expect(effectsOf(full(readyReplica()).outcome)).toEqual(['reset'])
  })

  test.each<{ name: string; tokens: number; effects: readonly string[]; status: string }>([
    { name: 'a fifth less is enough', tokens: 7_200, effects: [], status: 'probation' },
    { name: 'one token more is not', tokens: 7_201, effects: ['reset'], status: 'open' },
  ])('$name', ({ tokens, effects, status }) => {
    const { view } = full()
    const outcome = onRunFact(view, attempt, { ...name, kind: 'compacted', tokens })
    expect(effectsOf(outcome)).toEqual(effects)
    expect(viewAfter(view, outcome).incident?.status).toBe(status)
  })

  test('a compaction that does not answer is a failed one, at its time and not before', () => {
    const { view } = full()
    expect(compactionsDue({ ...view, nowMs: 119_999 }).outcome).toBeNull()
    expect(effectsOf(compactionsDue({ ...view, nowMs: 120_000 }).outcome)).toEqual(['reset'])
  })

  test('the first prompt refused: the task is too large, and nobody is charged', () => {
    const view = viewOf({ attempts: [attempt] })
    const after = viewAfter(view, onRunFact(view, attempt, prompted(0, { failure: 'context_overflow' })))
    expect(after.attempts[0]?.phase).toMatchObject({ ending: { finish: 'too_large' } })
    expect(after.replica.strikes).toEqual([])
  })

  test('an agent that does not let go of it loses its process, and no strike', () => {
    const view = viewOf({ attempts: [attempt] })
    const refused = viewAfter(view, onRunFact(view, attempt, prompted(0, { failure: 'context_overflow' })))
    const nowMs = view.spec.recovery.resetMs
    const { outcome } = decideReplica({ ...refused, nowMs, replica: { ...refused.replica, pulse: heard(nowMs) } })
    const after = viewAfter(refused, outcome)
    expect(effectsOf(outcome)).toEqual(['terminate'])
    expect(after.replica.strikes).toEqual([])
    expect(after.incident?.fault).toMatchObject({ kind: 'stalled', culprit: 'task' })
  })
})

describe('a leak', () => {
  const limit = 512 * 2 ** 20
  const reading = (share: number, atMs: number) =>
    ({ ...name, kind: 'memory', bytes: share * limit, openFiles: null, openFilesLimit: null, atMs }) as const

  test.each([
    {
      name: 'grows to its share: drained, and nobody is cut off',
      shares: [0.3, 0.4, 0.5, 0.6, 0.7],
      phase: 'draining',
    },
    { name: 'a hair below it: nothing', shares: [0.3, 0.4, 0.5, 0.6, 0.69], phase: 'ready' },
    { name: 'too few samples say nothing', shares: [0.4, 0.5, 0.6, 0.7], phase: 'ready' },
    { name: 'high and steady is no leak', shares: [0.8, 0.8, 0.8, 0.8, 0.8, 0.8], phase: 'ready' },
  ])('$name', ({ shares, phase }) => {
    let view = viewOf({ attempts: [attempt], spec: poolSpec({ memoryBytes: limit }) })
    shares.forEach((share, at) => {
      view = viewAfter({ ...view, nowMs: at * 10_000 }, onGauge({ ...view, nowMs: at * 10_000 }, reading(share, at)))
    })
    expect(view.replica.phase.kind).toBe(phase)
    expect(view.attempts[0]?.phase.kind).toBe('running')
    if (view.replica.phase.kind === 'draining') expect(view.replica.phase.untilMs).toBe(Number.POSITIVE_INFINITY)
  })
})

test('R10: the twentieth soft restart of an hour is told once, and again an hour later', () => {
  let view = viewOf()
  const told: number[] = []
  for (let at = 0; at < 70; at++) {
    const nowMs = at * 120_000
    const row = runningAttempt(`t${at}`)
    const sign = { kind: 'stalled', evidence: ['x'], firstSignMs: nowMs, attempt: row, error: null } as const
    // Each another day's trouble for the replica itself: strikes are gone, the pool remembers.
    const calm = { ...view, nowMs, attempts: [row], incident: null, replica: readyReplica() }
    const outcome = onFault(calm, { ...sign, gone: false, needsHard: false })
    if (noticesOf(outcome, 'node').length > 0) told.push(at)
    view = { ...view, pool: outcome.pool ?? view.pool }
  }
  expect(told).toEqual([19, 49])
})
