import { describe, expect, test } from 'vitest'
import {
  dependencySpec,
  limitedPool,
  modelUsage,
  openCall,
  poolRow,
  poolSpec,
  readyReplica,
  recovery,
  runningAttempt,
} from '../../test/fixtures/specs.ts'
import { effectsOf, noticesOf, viewAfter, viewOf } from '../../test/fixtures/view.ts'
import type { Inheritance } from '../model/inheritance.ts'
import type { AttemptObservation, ModelUsage } from '../model/observation.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow } from '../model/rows.ts'
import { nothingSpent } from '../model/spent.ts'
import type { Lease } from '../model/task.ts'
import { newDependency, opened } from './breaker.ts'
import { begin } from './dispatch.ts'
import type { Outcome, View } from './outcome.ts'
import { budgetsDue, onUse } from './overspend.ts'
import { onAttempt } from './react.ts'
import { takeOver } from './takeover.ts'

const name = { replica: 'p/0', incarnation: 1, taskId: 't', fence: 1, atMs: 0 } as const
const observe = { recovery: { ...recovery, mode: 'observe' } } as const
const started: AttemptObservation = { ...name, kind: 'call_started', start: openCall() }

function called(tokens: number, more: Partial<ModelUsage> = {}): AttemptObservation {
  return { ...name, kind: 'model_called', usage: modelUsage({ promptTokens: tokens, usd: 0.5, ...more }) }
}

/** One attempt that has spent so many tokens in so many calls of its own. */
function having(tokens: number, calls: number, more: Partial<AttemptRow> = {}): AttemptRow {
  const use = { spent: { ...nothingSpent, tokens, calls }, calls, isWritten: true, said: null }
  return runningAttempt('t', { use, ...more })
}

function does(spec: PoolSpec, attempt: AttemptRow, observation: AttemptObservation, more: Partial<View> = {}) {
  const view = viewOf({ spec, attempts: [attempt], ...more })
  const outcome = onUse(view, attempt, observation)
  return { outcome, view: viewAfter(view, outcome) }
}

const changesOf = (outcome: Outcome | null) => outcome?.decisions.flatMap(({ changes }) => changes) ?? []
const actionsOf = (outcome: Outcome | null) => outcome?.incidents.flatMap(({ actions }) => actions) ?? []
const fourThousand = limitedPool('task', { tokens: 4_000 })
const switchedOff = poolSpec({
  detect: { ...fourThousand.detect, budget: { ...fourThousand.detect.budget, enabled: false } },
})

describe('the next deed of an attempt', () => {
  test.each<{ name: string; spec: PoolSpec; spent: number; deed: AttemptObservation; effects: readonly string[] }>([
    { name: 'a call below the limit', spec: fourThousand, spent: 3_999, deed: called(1_000), effects: [] },
    { name: 'a call beyond it', spec: fourThousand, spent: 4_000, deed: called(1), effects: ['reset'] },
    { name: 'a step below the limit', spec: fourThousand, spent: 3_999, deed: started, effects: [] },
    { name: 'a step beyond it', spec: fourThousand, spent: 4_000, deed: started, effects: ['reset'] },
    { name: 'no limit', spec: poolSpec(), spent: 1e9, deed: called(1), effects: [] },
    {
      name: 'a limit that is switched off',
      spec: switchedOff,
      spent: 1e9,
      deed: started,
      effects: [],
    },
    {
      name: 'a pool that only observes',
      spec: limitedPool('task', { tokens: 4_000 }, observe),
      spent: 4_000,
      deed: started,
      effects: [],
    },
    {
      name: 'a word that begins nothing',
      spec: fourThousand,
      spent: 1e9,
      deed: { ...name, kind: 'progress', note: '' },
      effects: [],
    },
  ])('$name: $effects', ({ spec, spent, deed, effects }) => {
    expect(effectsOf(does(spec, having(spent, 3), deed).outcome)).toEqual(effects)
  })

  test('beyond the limit: no strike, an incident of the task, and the task is held when its host lets go', () => {
    const { outcome, view } = does(fourThousand, having(4_000, 4), called(1_000))
    expect(outcome?.replicas).toEqual([])
    expect(outcome?.incidents).toMatchObject([
      { fault: { kind: 'budget_exceeded', culprit: 'task' }, taskId: 't', replica: null, status: 'closed' },
    ])
    expect(actionsOf(outcome)).toMatchObject([{ kind: 'hold', status: 'done', strike: 0 }])
    const [attempt] = view.attempts
    if (attempt === undefined) throw new Error('it is not over')
    const end = onAttempt(view, attempt, { ...name, kind: 'reset_ok' })
    expect(changesOf(end)).toMatchObject([
      {
        kind: 'end_attempt',
        outcome: 'budget_exceeded',
        counted: false,
        spent: { tokens: 5_000, calls: 5 },
        next: { status: 'held', reason: expect.stringMatching(/^budget: 5000 tokens of 4000 tokens/) },
      },
    ])
    expect(noticesOf(end, 'incident')).toEqual([])
  })

  test('observe-only says once what it would have done', () => {
    const first = does(limitedPool('task', { tokens: 4_000 }, observe), having(4_000, 4), started)
    expect(actionsOf(first.outcome)).toMatchObject([{ kind: 'hold', status: 'observed' }])
    const [attempt] = first.view.attempts
    expect(attempt?.use.said).toBe('act')
    expect(actionsOf(onUse(first.view, attempt ?? having(0, 0), called(1)))).toEqual([])
  })

  test('what a call costs: prompt and answer, money, and one call unless it failed', () => {
    const spent = (usage: Partial<ModelUsage>) =>
      does(poolSpec(), having(0, 0), called(10, usage)).view.attempts[0]?.use
    expect(spent({ completionTokens: 5 })).toMatchObject({
      spent: { tokens: 15, usd: 0.5, calls: 1 },
      isWritten: false,
    })
    expect(spent({ failure: 'rate_limited', promptTokens: null, usd: null })?.spent).toEqual(nothingSpent)
  })
})

describe('without news', () => {
  const running = (sinceMs: number) => having(0, 0, { phase: { kind: 'running', sinceMs } })
  const minute = limitedPool('task', { timeMs: 60_000 })

  test.each<{ name: string; spec: PoolSpec; attempt: AttemptRow; nowMs: number; effects: readonly string[] }>([
    { name: 'time below 90 %', spec: minute, attempt: running(0), nowMs: 53_999, effects: [] },
    { name: 'time at 90 %: it is told', spec: minute, attempt: running(0), nowMs: 54_000, effects: ['nudge'] },
    { name: 'time at the limit: it is stopped', spec: minute, attempt: running(0), nowMs: 60_000, effects: ['reset'] },
    { name: 'tokens below 90 %', spec: fourThousand, attempt: having(3_599, 3), nowMs: 0, effects: [] },
    { name: 'tokens at 90 %: it is told', spec: fourThousand, attempt: having(3_600, 3), nowMs: 0, effects: ['nudge'] },
    { name: 'at the limit it may still answer', spec: fourThousand, attempt: having(4_000, 4), nowMs: 0, effects: [] },
    {
      name: 'nothing left from the start',
      spec: fourThousand,
      attempt: having(4_000, 0),
      nowMs: 0,
      effects: ['reset'],
    },
    {
      name: 'no hints where the pool wants none',
      spec: limitedPool('task', { tokens: 4_000 }, { recovery: { ...recovery, nudge: false } }),
      attempt: having(3_600, 3),
      nowMs: 0,
      effects: [],
    },
  ])('$name', ({ spec, attempt, nowMs, effects }) => {
    const { outcome } = budgetsDue(viewOf({ spec, attempts: [attempt], nowMs }))
    expect(effectsOf(outcome)).toEqual(effects)
  })

  test('it looks again at 90 % and at the limit', () => {
    const wakeMs = (nowMs: number) => budgetsDue(viewOf({ spec: minute, attempts: [running(0)], nowMs })).wakeAtMs
    expect(wakeMs(10_000)).toBe(54_000)
    const told = { ...running(0), use: { ...running(0).use, said: 'nudge' } } as const
    expect(budgetsDue(viewOf({ spec: minute, attempts: [told], nowMs: 54_000 })).wakeAtMs).toBe(60_000)
    expect(budgetsDue(viewOf({ spec: poolSpec(), attempts: [running(0)] })).wakeAtMs).toBe(Number.POSITIVE_INFINITY)
  })

  test('a dependency that is down stops its clock (R2)', () => {
    const spec = limitedPool('task', { timeMs: 60_000 }, { dependsOn: ['provider'] })
    const dependencies = new Map([['provider', opened(newDependency(dependencySpec(), 0), 'refused', 0)]])
    const due = budgetsDue(viewOf({ spec, attempts: [running(0)], nowMs: 90_000, dependencies }))
    expect(due).toEqual({ outcome: null, wakeAtMs: Number.POSITIVE_INFINITY })
  })

  test.each([
    { name: 'a limited task is written at once', spec: fourThousand, changes: ['spend'] },
    { name: 'an unlimited one with its end', spec: poolSpec(), changes: [] },
  ])('$name', ({ spec, changes }) => {
    const { view } = does(spec, having(0, 0), called(100))
    const { outcome } = budgetsDue(view)
    expect(changesOf(outcome).map(({ kind }) => kind)).toEqual(changes)
    expect(budgetsDue(viewAfter(view, outcome)).outcome).toBeNull()
  })

  test.each([
    { name: 'who has called goes back uncounted', calls: 1, effects: ['reset'] },
    { name: 'who has not may go on', calls: 0, effects: [] },
  ])('while its pool is held for its budget, $name', ({ calls, effects }) => {
    const hold = { cause: 'budget', sinceMs: 0, reason: 'the day', incidentId: null } as const
    const { outcome } = budgetsDue(viewOf({ pool: poolRow({ hold }), attempts: [having(100, calls)] }))
    expect(effectsOf(outcome)).toEqual(effects)
    const ending = outcome?.attempts[0]?.phase
    if (calls > 0) expect(ending).toMatchObject({ ending: { outcome: 'returned', counted: false } })
  })

  test.each([
    { tokens: 999, effects: [] },
    { tokens: 1_000, effects: ['terminate'] },
  ])('a process that has spent $tokens of 1000', ({ tokens, effects }) => {
    const spec = limitedPool('replica', { tokens: 1_000 })
    const { view } = does(spec, having(0, 0), called(tokens))
    const { outcome } = budgetsDue(view)
    expect(effectsOf(outcome)).toEqual(effects)
    // Counted anew by the next process, and by the same where nothing is done.
    expect(budgetsDue(viewAfter(view, outcome)).outcome).toBeNull()
  })
})

describe('however the attempt ends', () => {
  test.each([
    { name: 'a failure with the budget used up', tokens: 4_000, next: 'held', outcome: 'budget_exceeded', told: 1 },
    { name: 'a failure with something left', tokens: 3_999, next: 'queued', outcome: 'failed', told: 0 },
    {
      name: 'one where the pool only observes',
      tokens: 4_000,
      more: observe,
      next: 'queued',
      outcome: 'failed',
      told: 0,
    },
  ])('$name: $next', ({ tokens, more = {}, next, outcome, told }) => {
    const attempt = having(tokens, 4)
    const view = viewOf({ spec: limitedPool('task', { tokens: 4_000 }, more), attempts: [attempt] })
    const error = { name: 'BudgetExceededError', message: 'used up', code: 'PRUNELLA_BUDGET_EXCEEDED' }
    const ended = onAttempt(view, attempt, { ...name, kind: 'failed', error })
    expect(changesOf(ended).find(({ kind }) => kind === 'end_attempt')).toMatchObject({
      outcome,
      counted: outcome === 'failed',
      next: { status: next },
    })
    expect(noticesOf(ended, 'incident')).toHaveLength(told)
  })

  test('an answer counts, whatever it cost', () => {
    const attempt = having(9_000, 4)
    const ended = onAttempt(viewOf({ spec: fourThousand, attempts: [attempt] }), attempt, {
      ...name,
      kind: 'done',
      output: 1,
    })
    expect(changesOf(ended)).toMatchObject([{ next: { status: 'done' }, spent: { tokens: 9_000 } }])
  })

  test.each([
    { tokens: 4_000, status: 'held', incidents: 1 },
    { tokens: 3_999, status: 'queued', incidents: 0 },
  ])('the next supervisor finds $tokens of 4000 spent: $status', ({ tokens, status, incidents }) => {
    const lease = { taskId: 't', pool: 'p', replica: 'p/0', incarnation: 1, fence: 3, attempt: 1, sinceMs: 0 } as const
    const left: Inheritance = {
      ...{ storeId: 's', replicas: [], pools: [], dependencies: [], incidents: [], told: [] },
      leases: [{ ...lease, spent: { ...nothingSpent, tokens }, inDoubt: null }],
    }
    const changes = takeOver([fourThousand], left, 0).decisions.flatMap((decision) => decision.changes)
    expect(changes.find(({ kind }) => kind === 'end_attempt')).toMatchObject({ next: { status } })
    expect(changes.filter(({ kind }) => kind === 'incident')).toHaveLength(incidents)
  })
})

describe('what a host is told', () => {
  const lease: Lease = {
    ...{ taskId: 't', pool: 'p', replica: 'p/0' as const, incarnation: 1, fence: 1, attempt: 2, countedAttempts: 0 },
    ...{ lostReplicas: [], input: null, priority: 0, deadlineMs: null, needs: [], journal: [], previous: null },
    spent: { tokens: 1_000, usd: 0.5, calls: 2, timeMs: 0 },
  }
  test.each([
    {
      name: 'what is left',
      spec: limitedPool('task', { tokens: 4_000, calls: 10 }),
      left: { tokens: 3_000, calls: 8 },
    },
    { name: 'nothing without limits', spec: poolSpec(), left: undefined },
    { name: 'nothing of time, which it need not count', spec: limitedPool('task', { timeMs: 1 }), left: undefined },
    {
      name: 'nothing where the pool only observes',
      spec: limitedPool('task', { tokens: 1 }, observe),
      left: undefined,
    },
  ])('$name', ({ spec, left }) => {
    const { effect, attempt } = begin(lease, spec, 0)
    expect(effect).toMatchObject({ kind: 'dispatch' })
    expect('left' in effect ? effect.left : undefined).toEqual(left)
    expect(attempt.use.spent).toBe(lease.spent)
  })
})

test('a replica that is not ready is not judged by what it spends', () => {
  const spec = limitedPool('replica', { tokens: 10 })
  const replica = readyReplica(0, { phase: { kind: 'draining', untilMs: 1, after: 'restart' } })
  const { view } = does(spec, having(0, 0), called(10), { replica })
  expect(budgetsDue(view).outcome).toBeNull()
})
