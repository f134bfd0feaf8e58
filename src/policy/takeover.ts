import type { NextState } from '../model/change.ts'
import type { Incident } from '../model/incident.ts'
import type { Inheritance, InheritedLease } from '../model/inheritance.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { PoolRow, ReplicaRow } from '../model/rows.ts'
import { note } from './incident.ts'
import { type Decision, Draft } from './outcome.ts'
import { newPool, newReplica, recordOf } from './rows.ts'
import { blameSpender } from './task-incident.ts'
import { heldFor, overspent } from './use.ts'

export interface TakenOver {
  readonly pools: readonly PoolRow[]
  readonly replicas: readonly ReplicaRow[]
  readonly incidents: readonly Incident[]
  readonly decisions: readonly Decision[]
}

/**
 * What a new supervisor makes of what the last one left, once the orphans are
 * dead: strikes, quarantines and open incidents stay; the tasks in hand go back
 * uncounted (R8: the end of a supervisor is nobody's fault).
 */
export function takeOver(specs: readonly PoolSpec[], left: Inheritance, nowMs: number): TakenOver {
  const decisions: Decision[] = left.leases.flatMap((lease) =>
    returned(lease, specs.find(({ name }) => name === lease.pool) ?? null, nowMs),
  )
  const pools = specs.map((spec) => poolOf(spec, left, nowMs))
  const replicas: ReplicaRow[] = []
  for (const record of left.replicas) {
    const spec = specs.find((candidate) => candidate.name === record.pool)
    if (spec === undefined) {
      decisions.push(decision([{ kind: 'forget_replica', replica: record.name }]))
      continue
    }
    const row: ReplicaRow = {
      ...newReplica(spec, record.index, nowMs),
      incarnation: record.incarnation,
      strikes: record.strikes,
      incidentId: record.incidentId,
      phase: record.quarantined ? { kind: 'quarantined', sinceMs: nowMs } : { kind: 'waiting', spawnAtMs: nowMs },
    }
    replicas.push(row)
    decisions.push(decision([{ kind: 'replica', record: recordOf(row) }]))
  }
  const incidents = left.incidents.map((incident) => reopened(incident, nowMs))
  for (const incident of incidents) decisions.push(decision([{ kind: 'incident', incident }]))
  return { pools, replicas, incidents, decisions }
}

function poolOf(spec: PoolSpec, left: Inheritance, nowMs: number): PoolRow {
  const record = left.pools.find((candidate) => candidate.pool === spec.name)
  const pool = newPool(spec, nowMs)
  if (record === undefined) return pool
  // A defective agent gets a fresh chance: people restart a node to bring a new build.
  const isKept = record.hold?.cause === 'operator' || record.hold?.cause === 'budget'
  const hold = isKept ? record.hold : null
  const { incarnationFloor } = record
  return {
    ...pool,
    hold,
    incarnationFloor,
    use: { ...pool.use, accounts: record.accounts ?? pool.use.accounts },
    wanted: Math.min(spec.replicas.max, Math.max(spec.replicas.min, record.wanted)),
  }
}

function returned(lease: InheritedLease, spec: PoolSpec | null, nowMs: number): readonly Decision[] {
  const { taskId, fence, inDoubt, spent } = lease
  const over = spec === null ? null : overspent(spent, spec, nowMs)
  const reason =
    inDoubt !== null
      ? `step "${inDoubt.name}" (${inDoubt.key}) started and has no result: it must not be repeated unasked`
      : over && heldFor(over)
  const next: NextState =
    reason === null ? { status: 'queued', notBeforeMs: null, avoid: null } : { status: 'held', reason }
  const draft = new Draft()
  if (over !== null) blameSpender(draft, { pool: lease.pool, taskId, nowMs }, over)
  draft.change({
    kind: 'end_attempt',
    taskId,
    fence,
    atMs: nowMs,
    outcome: 'returned',
    counted: false,
    lostReplica: null,
    error: null,
    previous: {
      attempt: lease.attempt,
      outcome: 'returned',
      evidence: ['the supervisor was restarted'],
      doNot: [],
    },
    next,
  })
  draft.notice({ kind: 'task', taskId, pool: lease.pool, status: next.status, atMs: nowMs })
  return draft.finish().decisions
}

/** Open incidents go on; the record of a held pool that is tried anew is closed by the canary or again by a person. */
function reopened(incident: Incident, nowMs: number): Incident {
  const status = incident.status === 'probation' ? 'open' : incident.status
  return note({ ...incident, status }, 'outcome', nowMs, 'the supervisor was restarted and took this over')
}

function decision(changes: Decision['changes']): Decision {
  return { changes, effects: [], refused: [], notices: [] }
}
