import type { PoolRecord, ReplicaRecord } from '../model/change.ts'
import { replicaName } from '../model/ids.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { ProbeSpec } from '../model/probe.ts'
import type { PoolRow, ProbeState, PulseClock, ReplicaRow } from '../model/rows.ts'
import { newAccounts, newBurn } from './detect/budget.ts'

export function newReplica(spec: PoolSpec, index: number, nowMs: number): ReplicaRow {
  return {
    name: replicaName(spec.name, index),
    pool: spec.name,
    index,
    incarnation: 0,
    phase: { kind: 'waiting', spawnAtMs: nowMs },
    pid: null,
    startTicks: null,
    resettable: false,
    compactable: false,
    pulse: heard(nowMs),
    liveness: newProbe(spec.health.liveness, nowMs),
    readiness: newProbe(spec.health.readiness, nowMs),
    checks: {},
    strikes: [],
    incidentId: null,
    probationUntilMs: null,
    replacedMs: [],
    judgement: null,
    observedMs: null,
    memoryBytes: null,
    leaseSentMs: nowMs,
    renewedMs: nowMs,
    lastDoneMs: null,
  }
}

/** A sign of life: whatever was seen of a silence before it is over. */
export function heard(atMs: number): PulseClock {
  return { lastMs: atMs, heardMs: atMs, firstLook: null, lastLook: null, askedMs: null }
}

export function newProbe(spec: ProbeSpec, nowMs: number): ProbeState {
  return { verdict: 'unknown', failures: 0, successes: 0, nextAtMs: nowMs + spec.initialDelayMs, asked: null }
}

/** @param nowMs  Since when its spending is counted. */
export function newPool(spec: PoolSpec, nowMs = 0): PoolRow {
  return {
    name: spec.name,
    wanted: spec.replicas.min,
    hold: null,
    depth: { queued: 0, scheduled: 0, held: 0, leased: 0, suspects: 0, nextDueMs: null },
    marks: [],
    replacedMs: [],
    incarnationFloor: 0,
    failedStarts: 0,
    taskMs: Number.POSITIVE_INFINITY,
    heldMs: 0,
    notReady: null,
    trial: null,
    thaw: null,
    softMs: [],
    alarmedMs: null,
    paced: false,
    use: {
      accounts: newAccounts(nowMs),
      isWritten: true,
      burn: newBurn(nowMs),
      alarmedMs: null,
      observedMs: null,
    },
  }
}

/** What outlives the supervisor, of a pool and of a replica. */
export function poolRecordOf({ name, wanted, hold, incarnationFloor, use: { accounts } }: PoolRow): PoolRecord {
  return { pool: name, wanted, hold, incarnationFloor, accounts }
}

export function recordOf(row: ReplicaRow): ReplicaRecord {
  return {
    name: row.name,
    pool: row.pool,
    index: row.index,
    incarnation: row.incarnation,
    pid: row.pid,
    startTicks: row.startTicks,
    strikes: row.strikes,
    quarantined: row.phase.kind === 'quarantined' || ('after' in row.phase && row.phase.after === 'quarantine'),
    incidentId: row.incidentId,
  }
}
