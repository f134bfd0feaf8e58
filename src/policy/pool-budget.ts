/** Budgets of a pool, by the hour and by the day (UTC). One that is used up holds the pool until the period ends. */
import type { BudgetVerdict } from '../model/detect.ts'
import type { Fault } from '../model/fault.ts'
import type { Cost } from '../model/spent.ts'
import { checkBudget, foldBurn, newAccounts, periodEndMs, rolledAccount, spend } from './detect/budget.ts'
import { act, close, openIncident } from './incident.ts'
import { Draft, type Outcome, type View } from './outcome.ts'
import { holdPool, resumePool } from './pool-hold.ts'
import { poolRecordOf } from './rows.ts'
import { isCounted } from './use.ts'

const hourMs = 3_600_000

export type PoolTurn = Pick<View, 'pool' | 'spec' | 'nowMs' | 'incidents'>

/** Books what one model call has cost, and says when the pool burns more than it used to: to people, and nobody is stopped. */
export function bookPool(draft: Draft, { pool: before, spec, nowMs }: PoolTurn, cost: Cost): void {
  const pool = draft.pool ?? before
  const { accounts, burn, alarmedMs } = pool.use
  const folded = foldBurn(burn, 'pool', cost.tokens, nowMs, spec.detect.budget)
  const isLoud = folded.verdict !== null && folded.verdict.level !== 'note'
  const alarms = isLoud && (alarmedMs === null || nowMs - alarmedMs >= hourMs)
  draft.pool = {
    ...pool,
    use: {
      ...pool.use,
      accounts: { hour: spend(accounts.hour, cost, nowMs), day: spend(accounts.day, cost, nowMs) },
      isWritten: false,
      burn: folded.state,
      alarmedMs: alarms ? nowMs : alarmedMs,
    },
  }
  if (!alarms) return
  const text = `pool ${pool.name} burns more than usual: ${folded.verdict?.evidence[0]}`
  draft.notice({ kind: 'node', severity: 'warning', atMs: nowMs, text })
}

/** What a pool's budget wants now, and when to look again. */
export function poolBudgetDue(turn: PoolTurn): { readonly outcome: Outcome | null; readonly wakeAtMs: number } {
  const { pool, spec, nowMs } = turn
  const { hour, day } = pool.use.accounts
  const verdict = checkBudget([day, hour], spec.detect.budget, nowMs)
  const isHeld = pool.hold?.cause === 'budget'
  const draft = new Draft()
  if (verdict?.level === 'act') {
    const period = rolledAccount(verdict.scope === 'day' ? day : hour, nowMs)
    const endMs = periodEndMs(period)
    if (spec.recovery.mode === 'observe') {
      if (pool.use.observedMs === period.sinceMs) return { outcome: null, wakeAtMs: Number.POSITIVE_INFINITY }
      observed(draft, turn, verdict, period.sinceMs)
    } else if (pool.hold === null) {
      const until = `until ${new Date(endMs).toISOString()}`
      holdPool(draft, turn, `${verdict.evidence[0]}: nothing is started ${until}`, 'budget')
    } else if (pool.use.isWritten || !isCounted(spec, ['pool', 'day'])) {
      return { outcome: null, wakeAtMs: isHeld ? endMs : Number.POSITIVE_INFINITY }
    }
  } else if (isHeld) {
    resumePool(draft, turn, 'its budget allows it again')
  } else if (pool.use.isWritten || !isCounted(spec, ['pool', 'day'])) {
    return { outcome: null, wakeAtMs: Number.POSITIVE_INFINITY }
  }
  const written = draft.pool ?? pool
  draft.pool = { ...written, use: { ...written.use, isWritten: true } }
  draft.change({ kind: 'pool', record: poolRecordOf(draft.pool) })
  return { outcome: draft.finish(), wakeAtMs: nowMs }
}

/** A person lets a pool go on whose budget is used up: with as much again. */
export function withFreshAccounts({ pool, nowMs }: Pick<PoolTurn, 'pool' | 'nowMs'>): PoolTurn['pool'] {
  return { ...pool, use: { ...pool.use, accounts: newAccounts(nowMs) } }
}

/** R12: said once a period. */
function observed(draft: Draft, { pool, nowMs }: PoolTurn, verdict: BudgetVerdict, sinceMs: number): void {
  const nobody = { replica: null, incarnation: null, taskId: null }
  const { fault: kind, evidence } = verdict
  const fault: Fault = {
    kind,
    culprit: 'unknown',
    pool: pool.name,
    ...nobody,
    dependency: null,
    firstSignMs: nowMs,
    evidence,
  }
  const action = { kind: 'hold', atMs: nowMs, ...nobody, strike: 0, reason: evidence[0] ?? kind } as const
  const incident = close(
    act(openIncident(fault, nowMs, pool.name), action, 'observed'),
    nowMs,
    'observe-only: nothing was done',
  )
  draft.pool = { ...pool, use: { ...pool.use, observedMs: sinceMs } }
  draft.setIncident(incident)
  draft.change({ kind: 'incident', incident })
  draft.notice({ kind: 'incident', incident, severity: 'info', change: 'opened', atMs: nowMs })
}
