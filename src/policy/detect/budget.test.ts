import { describe, expect, test } from 'vitest'
import { type BudgetScope, type BudgetSpec, type BudgetUnit, defaultBudget } from '../../model/detect.ts'
import { checkBudget, foldBurn, newAccount, newBurn, rolledAccount, spend } from './budget.ts'

function limited(scope: BudgetScope, unit: BudgetUnit, limit: number): BudgetSpec {
  const limits = { ...defaultBudget.limits, [scope]: { ...defaultBudget.limits[scope], [unit]: limit } }
  return { ...defaultBudget, limits }
}

const hourMs = 3_600_000

describe('before each call', () => {
  test.each([
    { name: 'below 80 %', tokens: 799, level: null },
    { name: '80 % is noted', tokens: 800, level: 'note' },
    { name: 'below 90 %', tokens: 899, level: 'note' },
    { name: '90 % is a nudge', tokens: 900, level: 'nudge' },
    { name: 'below the limit', tokens: 999, level: 'nudge' },
    { name: 'at the limit no call starts', tokens: 1_000, level: 'act' },
  ])('$name', ({ tokens, level }) => {
    const account = spend(newAccount('task', 0), { tokens, usd: 0, calls: 1 }, 0)
    expect(checkBudget([account], limited('task', 'tokens', 1_000), 0)?.level ?? null).toBe(level)
  })

  test.each<{ scope: BudgetScope; unit: BudgetUnit }>(
    (['task', 'replica', 'pool', 'day'] as const).flatMap((scope) =>
      (['tokens', 'usd', 'calls', 'timeMs'] as const).map((unit) => ({ scope, unit })),
    ),
  )('$unit of a $scope are limited', ({ scope, unit }) => {
    const account = spend(
      spend(newAccount(scope, 0), { tokens: 1, usd: 1, calls: 1 }, 1),
      { tokens: 1, usd: 1, calls: 1 },
      2,
    )
    const spec = limited(scope, unit, 2)
    expect(checkBudget([account], spec, 2)).toMatchObject({ level: 'act', fault: 'budget_exceeded', scope, unit })
    expect(checkBudget([account], limited(scope, unit, 3), 2)?.level ?? null).toBeNull()
  })

  test('a call that is known to go over does not start', () => {
    const account = spend(newAccount('task', 0), { tokens: 500, usd: 0, calls: 1 }, 0)
    const spec = limited('task', 'tokens', 1_000)
    expect(checkBudget([account], spec, 0, { tokens: 500, usd: 0, calls: 1 })).toBeNull()
    expect(checkBudget([account], spec, 0, { tokens: 501, usd: 0, calls: 1 })).toMatchObject({
      level: 'act',
      evidence: ['500 tokens of 1000 tokens spent by this task', 'the next call needs 501 tokens more'],
    })
  })

  test('a limit of 0 forbids the first call', () => {
    expect(checkBudget([newAccount('task', 0)], limited('task', 'calls', 0), 0)?.level).toBe('act')
  })

  test('the loudest account speaks', () => {
    const spent = { tokens: 850, usd: 0, calls: 1 }
    const accounts = [spend(newAccount('task', 0), spent, 0), spend(newAccount('day', 0), spent, 0)]
    const spec = limited('day', 'tokens', 850)
    expect(
      checkBudget(
        accounts,
        { ...spec, limits: { ...spec.limits, task: limited('task', 'tokens', 1_000).limits.task } },
        0,
      ),
    ).toMatchObject({
      level: 'act',
      scope: 'day',
    })
  })

  test('a runaway stops at its budget with at most one call over', () => {
    const spec = limited('task', 'tokens', 10_000)
    let account = newAccount('task', 0)
    let calls = 0
    while (checkBudget([account], spec, calls)?.level !== 'act') {
      account = spend(account, { tokens: 3_000, usd: 0, calls: 1 }, calls++)
    }
    expect(account.tokens).toBeLessThan(10_000 + 3_000)
  })

  test.each<{ scope: BudgetScope; atMs: number; tokens: number }>([
    { scope: 'pool', atMs: hourMs - 1, tokens: 5 },
    { scope: 'pool', atMs: hourMs, tokens: 0 },
    { scope: 'day', atMs: 24 * hourMs - 1, tokens: 5 },
    { scope: 'day', atMs: 24 * hourMs, tokens: 0 },
    { scope: 'task', atMs: 900 * hourMs, tokens: 5 },
    { scope: 'replica', atMs: 900 * hourMs, tokens: 5 },
  ])('at $atMs ms the account of a $scope holds $tokens', ({ scope, atMs, tokens }) => {
    expect(rolledAccount(spend(newAccount(scope, 0), { tokens: 5, usd: 0, calls: 1 }, 0), atMs).tokens).toBe(tokens)
  })

  test('without limits, and disabled, nothing is said', () => {
    const account = spend(newAccount('task', 0), { tokens: 1e9, usd: 1e6, calls: 1 }, 0)
    expect(checkBudget([account], defaultBudget, 0)).toBeNull()
    expect(checkBudget([account], { ...limited('task', 'tokens', 1), enabled: false }, 0)).toBeNull()
  })
})

describe('burn rate', () => {
  const minuteMs = 60_000

  /** `minutes` of 1,000 tokens each, then one call of `tokens`. */
  function burn(minutes: number, tokens: number, usual = 1_000) {
    let state = newBurn(0)
    for (let minute = 0; minute < minutes; minute++) {
      state = foldBurn(state, 'task', usual, minute * minuteMs, defaultBudget).state
    }
    return foldBurn(state, 'task', tokens, minutes * minuteMs, defaultBudget).verdict
  }

  test.each([
    { name: 'below twice the usual', minutes: 5, tokens: 1_999, level: null },
    { name: 'twice is noted', minutes: 5, tokens: 2_000, level: 'note' },
    { name: 'below three times', minutes: 5, tokens: 2_999, level: 'note' },
    { name: 'three times is an alarm', minutes: 5, tokens: 3_000, level: 'nudge' },
    { name: 'and never a stop', minutes: 5, tokens: 1_000_000, level: 'nudge' },
    { name: 'four minutes are no history', minutes: 4, tokens: 1_000_000, level: null },
  ])('$name', ({ minutes, tokens, level }) => {
    expect(burn(minutes, tokens)?.level ?? null).toBe(level)
  })

  test('a little is no alarm whatever the multiple', () => {
    expect(burn(5, 999, 10)).toBeNull()
    expect(burn(5, 1_000, 10)).toMatchObject({ level: 'nudge', form: 'burn_rate' })
  })

  test('each level once a minute, and the history is bounded', () => {
    let state = newBurn(0)
    for (let minute = 0; minute < 500; minute++) {
      state = foldBurn(state, 'pool', 1_000, minute * minuteMs, defaultBudget).state
    }
    expect(state.history).toHaveLength(60)
    const first = foldBurn(state, 'pool', 5_000, 500 * minuteMs, defaultBudget)
    expect(first.verdict?.level).toBe('nudge')
    expect(foldBurn(first.state, 'pool', 5_000, 500 * minuteMs + 1, defaultBudget).verdict).toBeNull()
  })

  test('minutes without calls are no part of the usual', () => {
    const state = foldBurn(newBurn(0), 'task', 1_000, 0, defaultBudget).state
    expect(foldBurn(state, 'task', 1, 90 * minuteMs, defaultBudget).state.history).toEqual([1_000])
  })
})
