import { type Cost, costOf, plus } from '../model/spent.ts'
import { newAccount } from '../policy/detect/budget.ts'
import { isLimited, refusalOf } from '../policy/model-budget.ts'
import type { Clock } from '../port/clock.ts'
import type { ModelBudget } from '../port/model-budget.ts'
import type { Caller, RunningAttempt } from '../port/model-door.ts'
import type { TickInbox } from './inbox.ts'
import type { Tables } from './tables.ts'

const nothing: Cost = { tokens: 0, usd: 0, calls: 0 }

/**
 * Budgets as they stand this very moment: the tick's rows, and what waits in the
 * inbox to be folded into them. Read in one go, between two turns of the tick.
 */
export function createModelBudget(parts: {
  readonly tables: Tables
  readonly inbox: TickInbox
  readonly clock: Clock
}): ModelBudget {
  const { tables, inbox, clock } = parts

  function pendingOf({ pool, replica, incarnation }: Caller, taskId: string | null) {
    const pending = { attempt: nothing, replica: nothing, pool: nothing }
    for (const observation of inbox.waiting()) {
      if (observation.kind !== 'model_called' && observation.kind !== 'model_used') continue
      if (tables.replicas.get(observation.replica)?.pool !== pool) continue
      const cost = costOf(observation.usage)
      pending.pool = plus(pending.pool, cost)
      if (observation.replica !== replica || observation.incarnation !== incarnation) continue
      pending.replica = plus(pending.replica, cost)
      if (observation.kind === 'model_called' && observation.taskId === taskId)
        pending.attempt = plus(pending.attempt, cost)
    }
    return pending
  }

  return {
    isLimited(name) {
      const spec = tables.specs.get(name)
      return spec !== undefined && isLimited(spec)
    },
    refusal(caller: Caller, running: RunningAttempt | null, reserved) {
      const pool = tables.pools.get(caller.pool)
      const spec = tables.specs.get(caller.pool)
      if (pool === undefined || spec === undefined) return null
      const nowMs = clock.nowMs()
      const gauges = tables.gauges.get(caller.replica)
      const attempt = running === null ? undefined : tables.attempt(running.taskId)
      const spenders = {
        ...{ spec, pool, nowMs, pending: pendingOf(caller, running?.taskId ?? null) },
        account: gauges?.incarnation === caller.incarnation ? gauges.spent : newAccount('replica', nowMs),
        attempt: attempt?.fence === running?.fence ? (attempt ?? null) : null,
      }
      const reason = refusalOf(spenders, nothing)
      if (reason !== null) return { reason, mayPass: false }
      const later = refusalOf(spenders, reserved)
      return later === null ? null : { reason: later, mayPass: true }
    },
  }
}
