import { describe, expect, test } from 'vitest'
import { limitedPool, poolRow, poolSpec, recovery } from '../../test/fixtures/specs.ts'
import { noticesOf } from '../../test/fixtures/view.ts'
import type { BudgetScope } from '../model/detect.ts'
import type { Incident } from '../model/incident.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { PoolRow } from '../model/rows.ts'
import { onPoolCommand } from './operator.ts'
import { Draft, type Outcome } from './outcome.ts'
import { bookPool, type PoolTurn, poolBudgetDue } from './pool-budget.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const noonMs = 1_000 * dayMs + 12.5 * hourMs

function turnOf(
  spec: PoolSpec,
  nowMs = noonMs,
  pool: PoolRow = poolRow(),
  incidents: readonly Incident[] = [],
): PoolTurn {
  return { spec, nowMs, pool, incidents: new Map(incidents.map((one) => [one.id, one])) }
}

function booked(turn: PoolTurn, tokens: number): PoolTurn {
  const draft = new Draft()
  bookPool(draft, turn, { tokens, usd: 0, calls: 1 })
  return { ...turn, pool: draft.pool ?? turn.pool }
}

function turned(turn: PoolTurn, outcome: Outcome | null, nowMs = turn.nowMs): PoolTurn {
  const incidents = [...turn.incidents.values(), ...(outcome?.incidents ?? [])]
  return turnOf(turn.spec, nowMs, outcome?.pool ?? turn.pool, incidents)
}

const held = (turn: PoolTurn) => {
  const { outcome } = poolBudgetDue(turn)
  return { outcome, after: turned(turn, outcome) }
}

describe('a pool', () => {
  test.each<{ scope: BudgetScope; tokens: number; cause: string | undefined }>([
    { scope: 'day', tokens: 999, cause: undefined },
    { scope: 'day', tokens: 1_000, cause: 'budget' },
    { scope: 'pool', tokens: 999, cause: undefined },
    { scope: 'pool', tokens: 1_000, cause: 'budget' },
    { scope: 'task', tokens: 1_000, cause: undefined },
  ])('that has spent $tokens of 1000 tokens by $scope is held: $cause', ({ scope, tokens, cause }) => {
    const { after } = held(booked(turnOf(limitedPool(scope, { tokens: 1_000 })), tokens))
    expect(after.pool.hold?.cause).toBe(cause)
  })

  test.each<{ scope: BudgetScope; endMs: number }>([
    { scope: 'pool', endMs: 1_000 * dayMs + 13 * hourMs },
    { scope: 'day', endMs: 1_001 * dayMs },
  ])('is held once, with one incident, until its $scope ends', ({ scope, endMs }) => {
    const { outcome, after } = held(booked(turnOf(limitedPool(scope, { tokens: 1_000 })), 1_000))
    expect(noticesOf(outcome, 'incident')).toMatchObject([{ severity: 'critical', change: 'opened' }])
    expect(outcome?.incidents).toMatchObject([
      { status: 'needs_review', fault: { kind: 'budget_exceeded', culprit: 'unknown' }, actions: [{ kind: 'hold' }] },
    ])
    expect(poolBudgetDue(after)).toEqual({ outcome: null, wakeAtMs: endMs })
    expect(poolBudgetDue(turned(after, null, endMs - 1)).outcome).toBeNull()
    const { outcome: end } = poolBudgetDue(turned(after, null, endMs))
    expect(end?.pool?.hold).toBeNull()
    expect(noticesOf(end, 'incident')).toMatchObject([{ change: 'closed' }])
  })

  test('goes on with as much again when a person says so', () => {
    const { after } = held(booked(turnOf(limitedPool('day', { tokens: 1_000 })), 1_000))
    const request = { id: 1, who: 'ada', reason: '', command: { kind: 'resume', pool: 'p' } } as const
    const resumed = turned(after, onPoolCommand({ ...after, forced: [] }, request))
    expect(resumed.pool.hold).toBeNull()
    expect(poolBudgetDue(booked(resumed, 999)).outcome?.pool?.hold).toBeNull()
    expect(poolBudgetDue(booked(resumed, 1_000)).outcome?.pool?.hold).toMatchObject({ cause: 'budget' })
  })

  test('whose limit was raised, or switched off, meanwhile goes on', () => {
    const { after } = held(booked(turnOf(limitedPool('day', { tokens: 1_000 })), 1_000))
    for (const spec of [limitedPool('day', { tokens: 1_001 }), poolSpec()])
      expect(poolBudgetDue({ ...after, spec }).outcome?.pool?.hold).toBeNull()
  })

  test('that only observes says it once a day', () => {
    const spec = limitedPool('day', { tokens: 1_000 }, { recovery: { ...recovery, mode: 'observe' } })
    const { outcome, after } = held(booked(turnOf(spec), 1_000))
    expect(outcome?.incidents).toMatchObject([{ status: 'closed', actions: [{ kind: 'hold', status: 'observed' }] }])
    expect(after.pool.hold).toBeNull()
    expect(held(booked(after, 1_000)).outcome).toBeNull()
    expect(held(booked(turned(after, null, noonMs + dayMs), 1_000)).outcome?.incidents).toHaveLength(1)
  })

  test.each([
    { name: 'with a limit is written at once', spec: limitedPool('day', { tokens: 1_000 }), changes: ['pool'] },
    { name: 'without is not', spec: poolSpec(), changes: [] },
  ])('what a pool has spent $name', ({ spec, changes }) => {
    const { outcome, after } = held(booked(turnOf(spec), 10))
    expect(outcome?.decisions.flatMap((decision) => decision.changes.map(({ kind }) => kind)) ?? []).toEqual(changes)
    expect(held(after).outcome).toBeNull()
  })

  test('that is held by a person stays so', () => {
    const hold = { cause: 'operator', sinceMs: 0, reason: 'ada', incidentId: null } as const
    const { after } = held(booked(turnOf(limitedPool('day', { tokens: 1_000 }), noonMs, poolRow({ hold })), 1_000))
    expect(after.pool.hold).toEqual(hold)
  })
})

test('a pool that burns three times the usual is told of once an hour, and nobody is stopped', () => {
  let turn = turnOf(poolSpec(), 0)
  const alarms: number[] = []
  const burn = (minute: number, tokens: number) => {
    turn = { ...turn, nowMs: minute * 60_000 }
    const draft = new Draft()
    bookPool(draft, turn, { tokens, usd: 0, calls: 1 })
    const outcome = draft.finish()
    for (const _ of noticesOf(outcome, 'node')) alarms.push(minute)
    expect(noticesOf(outcome, 'action')).toEqual([])
    turn = turned(turn, outcome)
  }
  for (let minute = 0; minute < 10; minute++) burn(minute, 1_000)
  burn(10, 2_999)
  expect(alarms).toEqual([])
  burn(11, 3_000)
  burn(12, 9_000)
  burn(70, 9_000)
  expect(alarms).toEqual([11])
  burn(71, 9_000)
  expect(alarms).toEqual([11, 71])
})
