import type { BudgetVerdict } from '../model/detect.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow, PoolRow } from '../model/rows.ts'
import { type Account, type Cost, plus } from '../model/spent.ts'
import { checkBudget } from './detect/budget.ts'
import { isCounted, judgeSpent, spentBy } from './use.ts'

export interface Spenders {
  readonly spec: PoolSpec
  readonly pool: PoolRow
  /** Of the calling incarnation. */
  readonly account: Account
  readonly attempt: AttemptRow | null
  /** Told, and not yet in the rows: by the attempt, by the incarnation, by the pool. */
  readonly pending: { readonly attempt: Cost; readonly replica: Cost; readonly pool: Cost }
  readonly nowMs: number
}

export function isLimited(spec: PoolSpec): boolean {
  return spec.recovery.mode === 'act' && isCounted(spec, ['task', 'replica', 'pool', 'day'])
}

/** Why the next model call must not start, or null: whatever it would cost at least is over a limit. */
export function refusalOf({ spec, pool, account, attempt, pending, nowMs }: Spenders, reserved: Cost): string | null {
  if (!isLimited(spec)) return null
  const { hour, day } = pool.use.accounts
  const shared = [plus(hour, pending.pool), plus(day, pending.pool), plus(account, pending.replica)]
  const verdicts = [
    attempt === null ? null : judgeSpent(plus(plus(spentBy(attempt, nowMs), pending.attempt), reserved), spec, nowMs),
    checkBudget(
      shared.map((one) => plus(one, reserved)),
      spec.detect.budget,
      nowMs,
    ),
  ]
  return verdicts.find(isOver)?.evidence[0] ?? null
}

function isOver(verdict: BudgetVerdict | null): verdict is BudgetVerdict {
  return verdict?.level === 'act'
}
