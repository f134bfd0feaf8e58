import type { PoolName } from '../model/ids.ts'
import type { HealthReport, ProbeKind } from '../model/probe.ts'
import type { AttemptRow, PoolRow, ReplicaRow } from '../model/rows.ts'
import type { PoolView, ReplicaView } from '../model/snapshot.ts'
import { isDown, reasonOf } from '../policy/breaker.ts'
import { type Health, poolHealth, replicaHealth, type SharedCheck, shared, worst } from '../policy/health/report.ts'
import { type Dependencies, holdingDependency } from '../policy/hold.ts'
import type { Tables } from './tables.ts'

/** What doors see: built when asked for, out of the rows as they are, and never changed afterwards. */
export function replicaViews(tables: Tables, nowMs: number): readonly ReplicaView[] {
  return [...tables.replicas.values()]
    .toSorted((a, b) => (a.pool < b.pool ? -1 : a.pool > b.pool ? 1 : a.index - b.index))
    .map((row) => replicaView(row, tables.attemptsOf(row.name), nowMs))
}

function replicaView(row: ReplicaRow, attempts: readonly AttemptRow[], nowMs: number): ReplicaView {
  const live = row.phase.kind === 'ready' || row.phase.kind === 'draining'
  const progress = attempts.map((attempt) => attempt.progressMs)
  return {
    name: row.name,
    pool: row.pool,
    phase: row.phase.kind,
    incarnation: row.incarnation,
    pid: row.pid,
    ready: row.phase.kind === 'ready' && row.readiness.verdict === 'ok',
    pulseAgeMs: live ? Math.max(0, nowMs - row.pulse.lastMs) : null,
    progressAgeMs: progress.length === 0 ? null : Math.max(0, nowMs - Math.max(...progress)),
    strikes: row.strikes.length,
    probation: row.probationUntilMs !== null,
    tasks: attempts.map((attempt) => ({
      id: attempt.taskId,
      fence: attempt.fence,
      runningMs: attempt.phase.kind === 'running' ? Math.max(0, nowMs - attempt.phase.sinceMs) : 0,
      doing: doing(attempt),
    })),
    memoryBytes: row.memoryBytes,
    incidentId: row.incidentId,
    checks: row.checks,
  }
}

function doing(attempt: AttemptRow): string | null {
  if (attempt.phase.kind === 'returning') return 'letting go'
  if (attempt.phase.kind === 'sent') return 'waiting in the replica'
  const call = attempt.calls.at(-1)
  return call === undefined ? null : `${call.kind} ${call.name}`
}

export function poolViews(tables: Tables, nowMs: number, lagMs: number): readonly PoolView[] {
  return [...tables.pools.values()].map((pool) => poolView(pool, tables, nowMs, lagMs))
}

function poolView(pool: PoolRow, tables: Tables, nowMs: number, lagMs: number): PoolView {
  const replicas = tables.replicasOf(pool.name)
  const phases = { waiting: 0, starting: 0, ready: 0, draining: 0, stopping: 0, quarantined: 0 }
  for (const row of replicas) phases[row.phase.kind]++
  const spec = tables.specs.get(pool.name)
  const active = replicas.reduce((sum, row) => sum + tables.inHand(row.name), 0)
  return {
    name: pool.name,
    wanted: pool.wanted,
    min: spec?.replicas.min ?? 0,
    max: spec?.replicas.max ?? 0,
    phases,
    depth: pool.depth,
    active,
    status: healthOfPool('readiness', pool, tables, nowMs, lagMs).status,
    hold: holdOf(pool, tables),
  }
}

/** Why nothing new is started: somebody or something holds it, or a dependency is down. */
function holdOf(pool: PoolRow, tables: Tables): PoolView['hold'] {
  const spec = tables.specs.get(pool.name)
  if (pool.notReady === null || spec === undefined) return pool.hold
  if (pool.hold !== null) return { ...pool.hold, reason: `${pool.hold.reason}; and ${pool.notReady}` }
  const row = holdingDependency(spec, tables.dependencies)
  const reason = pool.notReady
  return row === null ? null : { cause: 'dependency', sinceMs: row.breaker.sinceMs, reason, incidentId: row.incidentId }
}

export interface NodeState {
  readonly tables: Tables
  readonly nowMs: number
  readonly lagMs: number
  /** Time since the control loop last finished a turn. */
  readonly sweepAgeMs: number
  readonly storeFailing: boolean
}

/** A control loop that has not turned for this long is not looking (R11). It wakes at least once a second. */
const blindMs = 10_000

export function health(
  kind: ProbeKind,
  scope: { readonly pool?: PoolName; readonly replica?: string },
  state: NodeState,
): HealthReport | null {
  const found = healthIn(kind, scope, state)
  return found === null ? null : { ...found, latencyMs: 0 }
}

function healthIn(
  kind: ProbeKind,
  scope: { readonly pool?: PoolName; readonly replica?: string },
  state: NodeState,
): Health | null {
  const { tables, nowMs, lagMs } = state
  if (scope.replica !== undefined) {
    const row = tables.replicas.get(scope.replica as ReplicaRow['name'])
    const spec = row === undefined ? undefined : tables.specs.get(row.pool)
    if (row === undefined || spec === undefined) return null
    return replicaHealth(kind, row, spec, shared(checksOf(spec.dependsOn, tables.dependencies)), nowMs, lagMs)
  }
  if (scope.pool !== undefined) {
    const pool = tables.pools.get(scope.pool)
    return pool === undefined ? null : healthOfPool(kind, pool, tables, nowMs, lagMs)
  }
  return nodeHealth(kind, state)
}

function healthOfPool(kind: ProbeKind, pool: PoolRow, tables: Tables, nowMs: number, lagMs: number): Health {
  const spec = tables.specs.get(pool.name)
  if (spec === undefined) return { status: 'unhealthy', checks: {} }
  return poolHealth(
    kind,
    pool,
    spec,
    tables.replicasOf(pool.name),
    shared(checksOf(spec.dependsOn, tables.dependencies)),
    nowMs,
    lagMs,
  )
}

function nodeHealth(kind: ProbeKind, state: NodeState): Health {
  const { tables, nowMs, lagMs, sweepAgeMs, storeFailing } = state
  const looking = sweepAgeMs < blindMs
  const supervisor = looking ? 'ok' : `failed: the control loop last turned ${Math.round(sweepAgeMs)} ms ago`
  const alive: Health = { status: looking ? 'healthy' : 'unhealthy', checks: { supervisor } }
  if (kind === 'liveness') return alive
  const pools = [...tables.pools.values()].map((pool) => ({
    pool,
    health: healthOfPool(kind, pool, tables, nowMs, lagMs),
  }))
  const checks = Object.fromEntries(
    pools.map(({ pool, health: { status } }) => [
      `pool_${pool.name}`,
      status === 'healthy' ? 'ok' : `${status === 'unhealthy' ? 'failed' : 'degraded'}: ${status}`,
    ]),
  )
  if (kind === 'startup') {
    const ok = pools.every(({ health: { status } }) => status !== 'unhealthy')
    return { status: ok ? 'healthy' : 'unhealthy', checks: { supervisor, ...checks } }
  }
  const needed = new Set([...tables.specs.values()].flatMap((spec) => spec.dependsOn))
  const common = shared(checksOf([...needed], tables.dependencies))
  const store: Health = {
    status: storeFailing ? 'unhealthy' : 'healthy',
    checks: { store: storeFailing ? 'failed: the store cannot be written' : 'ok' },
  }
  const allDown = pools.length > 0 && pools.every((entry) => entry.health.status === 'unhealthy')
  const someDown = pools.some((entry) => entry.health.status !== 'healthy')
  const ofPools = allDown ? 'unhealthy' : someDown ? 'degraded' : 'healthy'
  const leaving = tables.shuttingDown ? 'unhealthy' : 'healthy'
  return {
    status: worst([alive.status, store.status, common.status, ofPools, leaving]),
    checks: {
      supervisor,
      ...store.checks,
      ...common.checks,
      ...checks,
      ...(tables.shuttingDown ? { shutdown: 'failed: the node is shutting down' } : {}),
    },
  }
}

function checksOf(names: readonly string[], dependencies: Dependencies): readonly SharedCheck[] {
  return names.flatMap((name) => {
    const row = dependencies.get(name)
    if (row === undefined) return []
    const verdict = isDown(row) ? 'failed' : row.check.verdict
    return [{ name, role: row.spec.role, verdict, reason: reasonOf(row) }]
  })
}
