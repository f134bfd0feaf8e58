import type { PoolAccounts } from '../../model/change.ts'
import type { BudgetScope, BudgetSpec, BudgetUnit, BudgetVerdict } from '../../model/detect.ts'
import type { BurnState } from '../../model/rows.ts'
import { type Account, type Cost, plus } from '../../model/spent.ts'
import { isLouder, levelOf } from './level.ts'

export function newAccount(scope: BudgetScope, nowMs: number): Account {
  return { scope, tokens: 0, usd: 0, calls: 0, sinceMs: periodStartMs(scope, nowMs) }
}

/** What a pool spends in its hour and in its day. */
export function newAccounts(nowMs: number): PoolAccounts {
  return { hour: newAccount('pool', nowMs), day: newAccount('day', nowMs) }
}

const periodsMs: Readonly<Record<BudgetScope, number | null>> = {
  task: null,
  replica: null,
  pool: 3_600_000,
  day: 86_400_000,
}

function periodStartMs(scope: BudgetScope, nowMs: number): number {
  const periodMs = periodsMs[scope]
  return periodMs === null ? nowMs : nowMs - (nowMs % periodMs)
}

/** When the account begins anew, clock ms; Infinity for those that never do. */
export function periodEndMs({ scope, sinceMs }: Account): number {
  return sinceMs + (periodsMs[scope] ?? Number.POSITIVE_INFINITY)
}

/** The account as it stands now: a new hour, a new day starts from nothing. */
export function rolledAccount(account: Account, nowMs: number): Account {
  const startMs = periodStartMs(account.scope, nowMs)
  return periodsMs[account.scope] === null || startMs <= account.sinceMs ? account : newAccount(account.scope, nowMs)
}

/** Books one model call that has ended. */
export function spend(account: Account, cost: Cost, nowMs: number): Account {
  return plus(rolledAccount(account, nowMs), cost)
}

const units: readonly BudgetUnit[] = ['tokens', 'usd', 'calls', 'timeMs']

/**
 * Whether the next model call may start: the loudest of all accounts and units,
 * or null. `act` means that it must not. Calls that run are not cut, so at most
 * one call goes over.
 *
 * @param next  What the call will cost at least, where it is known.
 */
export function checkBudget(
  accounts: readonly Account[],
  spec: BudgetSpec,
  nowMs: number,
  next: Cost = { tokens: 0, usd: 0, calls: 0 },
): BudgetVerdict | null {
  if (!spec.enabled) return null
  let loudest: BudgetVerdict | null = null
  for (const account of accounts) {
    const now = rolledAccount(account, nowMs)
    for (const unit of units) {
      const verdict = checkUnit(now, unit, spec, nowMs, next)
      if (verdict !== null && isLouder(verdict.level, loudest?.level ?? null)) loudest = verdict
    }
  }
  return loudest
}

function checkUnit(
  account: Account,
  unit: BudgetUnit,
  { limits, share }: BudgetSpec,
  nowMs: number,
  next: Cost,
): BudgetVerdict | null {
  const { scope } = account
  const limit = limits[scope][unit]
  if (limit === null) return null
  const spent = unit === 'timeMs' ? nowMs - account.sinceMs : account[unit]
  const wanted = unit === 'tokens' || unit === 'usd' ? next[unit] : 0
  const isOver = spent + wanted > limit
  const level = isOver ? 'act' : levelOf(limit === 0 ? 1 : spent / limit, share)
  if (level === null) return null
  const words = `${shown(spent, unit)} of ${shown(limit, unit)} spent by this ${scopeWords[scope]}`
  const evidence = isOver && spent < limit ? [words, `the next call needs ${shown(wanted, unit)} more`] : [words]
  return { fault: 'budget_exceeded', level, form: 'spent', scope, unit, evidence }
}

const scopeWords: Readonly<Record<BudgetScope, string>> = {
  task: 'task',
  replica: 'process',
  pool: 'pool in this hour',
  day: 'pool on this day (UTC)',
}

function shown(value: number, unit: BudgetUnit): string {
  switch (unit) {
    case 'usd':
      return `${value.toFixed(2)} USD`
    case 'timeMs':
      return `${Math.round(value / 1_000)} s`
    case 'tokens':
    case 'calls':
      return `${value} ${unit}`
  }
}

/** An hour of minutes: yesterday's habits are no measure for today's task. */
const burnKept = 60

export function newBurn(nowMs: number): BurnState {
  return { periodStartMs: nowMs, periodTokens: 0, history: [], said: null }
}

export interface BurnFolded {
  readonly state: BurnState
  readonly verdict: BudgetVerdict | null
}

/** Books the tokens of a call, and compares the period with the median of those before it. */
export function foldBurn(
  state: BurnState,
  scope: BudgetScope,
  tokens: number,
  nowMs: number,
  spec: BudgetSpec,
): BurnFolded {
  const now = rolledBurn(state, nowMs, spec.burnPeriodMs)
  const next = { ...now, periodTokens: now.periodTokens + tokens }
  const usual = next.history.toSorted((a, b) => a - b)[Math.floor(next.history.length / 2)] ?? 0
  const isKnown = next.history.length >= spec.burnHistory && usual > 0
  if (!spec.enabled || !isKnown || next.periodTokens < spec.burnTokens) return { state: next, verdict: null }
  const level = levelOf(next.periodTokens / usual, spec.burn)
  if (level === null || !isLouder(level, next.said)) return { state: next, verdict: null }
  const evidence = [
    `${next.periodTokens} tokens within ${spec.burnPeriodMs / 1_000} s by this ${scope}; usual are ${usual} (median of ${next.history.length})`,
  ]
  return {
    state: { ...next, said: level },
    verdict: { fault: 'budget_exceeded', level, form: 'burn_rate', scope, unit: 'tokens', evidence },
  }
}

function rolledBurn(state: BurnState, nowMs: number, periodMs: number): BurnState {
  if (nowMs - state.periodStartMs < periodMs) return state
  const history = state.periodTokens === 0 ? state.history : [...state.history, state.periodTokens].slice(-burnKept)
  return { periodStartMs: nowMs - ((nowMs - state.periodStartMs) % periodMs), periodTokens: 0, history, said: null }
}
