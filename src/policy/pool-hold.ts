import type { PoolHold } from '../model/change.ts'
import type { Fault } from '../model/fault.ts'
import { act, close, incidentId, openIncident, recover } from './incident.ts'
import type { Draft, View } from './outcome.ts'
import { poolRecordOf } from './rows.ts'

/** Starts in a row that failed, after which the agent itself is suspected (a bad build): three, as for poison. */
export const failedStartsBeforeHold = 3

/**
 * Holds the pool, with one alert and no strikes. As `defective_agent` nothing is
 * dispatched and nothing spawned but one canary, which retries with backoff (R8).
 */
export function holdPool(
  draft: Draft,
  view: Pick<View, 'pool' | 'nowMs'>,
  reason: string,
  cause: 'defective_agent' | 'budget' = 'defective_agent',
): void {
  const pool = draft.pool ?? view.pool
  if (pool.hold !== null) return
  const { nowMs } = view
  const fault: Fault = {
    kind: cause === 'budget' ? 'budget_exceeded' : cause,
    culprit: cause === 'budget' ? 'unknown' : 'agent',
    pool: pool.name,
    replica: null,
    incarnation: null,
    taskId: null,
    dependency: null,
    firstSignMs: (cause === 'budget' ? null : pool.marks[0]?.atMs) ?? nowMs,
    evidence: [reason],
  }
  const action = {
    kind: 'hold',
    atMs: nowMs,
    replica: null,
    incarnation: null,
    taskId: null,
    strike: 0,
    reason,
  } as const
  // Resumed and held again in one turn, as when much is read at once after a pause: two incidents, two names.
  const heldMs = Math.max(Math.floor(nowMs), pool.heldMs + 1)
  const opened = { ...openIncident(fault, nowMs, pool.name), id: incidentId(pool.name, heldMs) }
  const incident = { ...act(opened, action), status: 'needs_review' } as const
  const hold: PoolHold = { cause, sinceMs: nowMs, reason, incidentId: incident.id }
  draft.pool = { ...pool, hold, heldMs }
  draft.setIncident(incident)
  draft.change({ kind: 'incident', incident }, { kind: 'pool', record: poolRecordOf(draft.pool) })
  draft.notice(
    { kind: 'incident', incident, severity: 'critical', change: 'opened', atMs: nowMs },
    {
      kind: 'action',
      pool: pool.name,
      replica: null,
      taskId: null,
      action: 'hold',
      fault: fault.kind,
      incidentId: incident.id,
      reason,
      atMs: nowMs,
    },
    { kind: 'pool', pool: pool.name, text: `held: ${reason}`, atMs: nowMs },
  )
}

/** The one replica that goes on trying while the pool is held as defective: the lowest that is not quarantined. */
export function isCanary(view: Pick<View, 'replica' | 'siblings'>): boolean {
  const { replica } = view
  return !view.siblings.some((row) => row.phase.kind !== 'quarantined' && row.index < replica.index)
}

/** The canary has proved itself (or an operator says so): the pool goes on. */
export function resumePool(draft: Draft, view: Pick<View, 'pool' | 'nowMs' | 'incidents'>, text: string): void {
  const pool = draft.pool ?? view.pool
  if (pool.hold === null) return
  const { nowMs } = view
  draft.pool = { ...pool, hold: null, failedStarts: 0 }
  draft.change({ kind: 'pool', record: poolRecordOf(draft.pool) })
  draft.notice({ kind: 'pool', pool: pool.name, text: `resumed: ${text}`, atMs: nowMs })
  const incident = pool.hold.incidentId === null ? undefined : view.incidents.get(pool.hold.incidentId)
  if (incident === undefined) return
  const closed = close(recover(incident, nowMs, text), nowMs, text)
  draft.setIncident(closed)
  draft.change({ kind: 'incident', incident: closed })
  draft.notice({ kind: 'incident', incident: closed, severity: 'info', change: 'closed', atMs: nowMs })
}
