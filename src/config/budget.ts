import { z } from 'zod'
import type { BudgetLimits, BudgetScope } from '../model/detect.ts'

/* The part of `pools.NAME.limits` that says what may be spent. What is left out has no limit. */

const tokens = z.int().min(1).optional()
const usd = z.number().positive().optional()
const calls = z.int().min(1).optional()

/** But for `timePerTask`, which is a duration. An hour and a day are those of the pool, by UTC. */
export const budgetShape = {
  ...{ tokensPerTask: tokens, usdPerTask: usd, callsPerTask: calls },
  ...{ tokensPerReplica: tokens, usdPerReplica: usd, callsPerReplica: calls },
  ...{ tokensPerHour: tokens, usdPerHour: usd, callsPerHour: calls },
  ...{ tokensPerDay: tokens, usdPerDay: usd, callsPerDay: calls },
}

type RawBudget = { readonly [key in keyof typeof budgetShape]?: number | undefined } & {
  readonly timePerTask?: number | undefined
}

export function resolveBudget(raw: RawBudget = {}): Readonly<Record<BudgetScope, BudgetLimits>> {
  const of = (suffix: 'Task' | 'Replica' | 'Hour' | 'Day'): BudgetLimits => ({
    tokens: raw[`tokensPer${suffix}`] ?? null,
    usd: raw[`usdPer${suffix}`] ?? null,
    calls: raw[`callsPer${suffix}`] ?? null,
    timeMs: suffix === 'Task' ? (raw.timePerTask ?? null) : null,
  })
  return { task: of('Task'), replica: of('Replica'), pool: of('Hour'), day: of('Day') }
}

/** The limits given that count what only an agent can tell. */
export function countedLimits(raw: object = {}): readonly string[] {
  return Object.keys(raw).filter((key) => Object.hasOwn(budgetShape, key))
}
