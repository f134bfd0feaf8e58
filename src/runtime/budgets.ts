import type { Outcome } from '../policy/outcome.ts'
import { poolBudgetDue } from '../policy/pool-budget.ts'
import type { Tables } from './tables.ts'

/** What pools spend against what they may: looked at every turn, since every model call may be the last. */
export class Budgets {
  private readonly tables: Tables
  private readonly take: (outcome: Outcome) => void
  wakeAtMs = Number.POSITIVE_INFINITY

  constructor(tables: Tables, take: (outcome: Outcome) => void) {
    this.tables = tables
    this.take = take
  }

  decide(nowMs: number): void {
    const { tables } = this
    this.wakeAtMs = Number.POSITIVE_INFINITY
    for (const pool of tables.pools.values()) {
      const spec = tables.specs.get(pool.name)
      if (spec === undefined) continue
      const { outcome, wakeAtMs } = poolBudgetDue({ pool, spec, nowMs, incidents: tables.incidents })
      this.wakeAtMs = Math.min(this.wakeAtMs, wakeAtMs)
      if (outcome === null) continue
      this.take(outcome)
      // Whoever works for it has something to decide.
      if (tables.pools.get(pool.name)?.hold !== pool.hold)
        for (const { name } of tables.replicasOf(pool.name)) tables.wakesMs.set(name, Number.NEGATIVE_INFINITY)
    }
  }
}
