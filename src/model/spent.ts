import type { BudgetScope } from './detect.ts'

/** What model calls and running have used up, as far as it was said. */
export interface Spent {
  /** Of prompts and answers. */
  readonly tokens: number
  readonly usd: number
  readonly calls: number
  /** Running time of attempts. */
  readonly timeMs: number
}

/** What one task, one incarnation of a replica, one pool in an hour, one pool in a day (UTC) has spent. */
export interface Account {
  readonly scope: BudgetScope
  readonly tokens: number
  readonly usd: number
  readonly calls: number
  /** Start of what is counted, clock ms. */
  readonly sinceMs: number
}

export const nothingSpent: Spent = { tokens: 0, usd: 0, calls: 0, timeMs: 0 }

/** What may still be spent on model calls; what is left out has no limit. Below 0 when a call went over. */
export interface Allowance {
  readonly tokens?: number
  readonly usd?: number
  readonly calls?: number
}

export type Cost = Omit<Spent, 'timeMs'>

interface Said {
  readonly promptTokens?: number | null
  readonly completionTokens?: number | null
  readonly usd?: number | null
  readonly failure?: string | null
}

/** What one model call adds. One that failed is not counted as a call: an outage uses up no budget, unless it says what it cost. */
export function costOf({ promptTokens, completionTokens, usd, failure }: Said): Cost {
  const isCall = failure === undefined || failure === null
  return { tokens: (promptTokens ?? 0) + (completionTokens ?? 0), usd: usd ?? 0, calls: isCall ? 1 : 0 }
}

export function plus<Total extends Cost>(total: Total, cost: Cost): Total {
  const { tokens, usd, calls } = total
  return { ...total, tokens: tokens + cost.tokens, usd: usd + cost.usd, calls: calls + cost.calls }
}

const units = ['tokens', 'usd', 'calls'] as const

/** Null: nothing is limited. */
export function leftOf(limits: Readonly<Record<(typeof units)[number], number | null>>, spent: Cost): Allowance | null {
  const left: { -readonly [unit in keyof Allowance]: Allowance[unit] } = {}
  for (const unit of units) {
    const limit = limits[unit]
    if (limit !== null) left[unit] = limit - spent[unit]
  }
  return Object.keys(left).length === 0 ? null : left
}

export function lessBy(left: Allowance, cost: Cost): Allowance {
  return Object.fromEntries(Object.entries(left).map(([unit, amount]) => [unit, amount - cost[unit as keyof Cost]]))
}

export function isUsedUp(left: Allowance): boolean {
  return units.some((unit) => (left[unit] ?? 1) <= 0)
}
