/** What a task has spent against what it may. */
import type { BudgetVerdict } from '../model/detect.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow } from '../model/rows.ts'
import { type Allowance, leftOf, type Spent } from '../model/spent.ts'
import { checkBudget } from './detect/budget.ts'

/** Running time included. */
export function spentBy({ phase, use: { spent } }: AttemptRow, nowMs: number): Spent {
  const sinceMs = phase.kind === 'sent' ? null : phase.sinceMs
  return sinceMs === null ? spent : { ...spent, timeMs: spent.timeMs + Math.max(0, nowMs - sinceMs) }
}

/** The loudest that can be said of `spent`, or null. */
export function judgeSpent(spent: Spent, { detect: { budget } }: PoolSpec, nowMs: number): BudgetVerdict | null {
  const { timeMs, ...cost } = spent
  return checkBudget([{ scope: 'task', ...cost, sinceMs: nowMs - timeMs }], budget, nowMs)
}

/** Why a task must not go on before a person says so; null also where the pool only observes. */
export function overspent(spent: Spent, spec: PoolSpec, nowMs: number): BudgetVerdict | null {
  if (spec.recovery.mode === 'observe') return null
  const verdict = judgeSpent(spent, spec, nowMs)
  return verdict?.level === 'act' ? verdict : null
}

/** As it stands in the task, in words. */
export function heldFor(verdict: BudgetVerdict): string {
  return `budget: ${verdict.evidence[0]}; to let it go on with as much again, resolve it with --repeat`
}

/** What its host is told to keep as well. */
export function allowanceOf(spent: Spent, { detect: { budget }, recovery }: PoolSpec): Allowance | null {
  return budget.enabled && recovery.mode === 'act' ? leftOf(budget.limits.task, spent) : null
}

/** Whether every call must be durable before the next, because somebody counts them. */
export function isCounted({ detect: { budget } }: PoolSpec, scopes: readonly (keyof typeof budget.limits)[]): boolean {
  return budget.enabled && scopes.some((scope) => Object.values(budget.limits[scope]).some((limit) => limit !== null))
}
