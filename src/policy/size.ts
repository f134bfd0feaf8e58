import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow, PoolRow, ReplicaRow } from '../model/rows.ts'
import { Draft, type Outcome } from './outcome.ts'
import { forget, noticePhase } from './recover.ts'
import { newReplica, recordOf } from './rows.ts'

/**
 * Brings a pool to its wanted size. Quarantine keeps capacity: another replica
 * takes the place, up to `maxQuarantined` (R5). What is too much is retired
 * idle first, and busy ones are drained, never killed.
 */
export function decideSize(
  pool: PoolRow,
  spec: PoolSpec,
  replicas: readonly ReplicaRow[],
  attemptsOf: (replica: ReplicaRow) => readonly AttemptRow[],
  nowMs: number,
): Outcome | null {
  const quarantined = replicas.filter(isQuarantined).length
  const uncovered = Math.max(0, quarantined - spec.recovery.maxQuarantined)
  const active = replicas.filter((row) => !isQuarantined(row) && !isLeaving(row))
  const wanted = Math.max(0, pool.wanted - uncovered)
  const draft = new Draft()
  if (active.length < wanted) {
    const used = new Set(replicas.map((row) => row.index))
    for (let missing = wanted - active.length, index = 0; missing > 0; index++) {
      if (used.has(index)) continue
      const row = { ...newReplica(spec, index, nowMs), incarnation: pool.incarnationFloor }
      draft.setReplica(row)
      draft.change({ kind: 'replica', record: recordOf(row) })
      noticePhase(draft, row, nowMs)
      missing--
    }
    return draft.finish()
  }
  if (active.length === wanted) return null
  const order = active.toSorted((a, b) => attemptsOf(a).length - attemptsOf(b).length || b.index - a.index)
  for (const row of order.slice(0, active.length - wanted)) retire(draft, pool, row, nowMs)
  return draft.finish()
}

function retire(draft: Draft, pool: PoolRow, row: ReplicaRow, nowMs: number): void {
  if (row.phase.kind === 'waiting') {
    forget(draft, pool, row, nowMs)
    return
  }
  const retired: ReplicaRow =
    row.phase.kind === 'stopping'
      ? { ...row, phase: { ...row.phase, after: 'remove' } }
      : { ...row, phase: { kind: 'draining', untilMs: Number.POSITIVE_INFINITY, after: 'remove' } }
  draft.setReplica(retired)
  noticePhase(draft, retired, nowMs)
}

function isQuarantined(row: ReplicaRow): boolean {
  return row.phase.kind === 'quarantined' || ('after' in row.phase && row.phase.after === 'quarantine')
}

function isLeaving(row: ReplicaRow): boolean {
  return 'after' in row.phase && row.phase.after === 'remove'
}
