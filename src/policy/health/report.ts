import type { PoolSpec } from '../../model/pool.ts'
import type { CheckResult, HealthStatus, ProbeKind } from '../../model/probe.ts'
import type { PoolRow, ReplicaRow } from '../../model/rows.ts'
import { isSilent } from './pulse.ts'

export interface Health {
  readonly status: HealthStatus
  readonly checks: Readonly<Record<string, string>>
}

/** What a shared dependency contributes: its role decides how bad its failure is (product.md, section 4). */
export interface SharedCheck {
  readonly name: string
  readonly role: 'model_provider' | 'database' | 'tool' | 'other'
  readonly verdict: 'unknown' | 'ok' | 'failed'
  readonly reason: string
}

/** Nothing failed: healthy. The model provider failed: unhealthy. Anything else: degraded. */
export function shared(checks: readonly SharedCheck[]): Health {
  const failed = checks.filter((check) => check.verdict === 'failed')
  const status = failed.some((check) => check.role === 'model_provider')
    ? 'unhealthy'
    : failed.length > 0
      ? 'degraded'
      : 'healthy'
  return {
    status,
    checks: Object.fromEntries(
      checks.map((check) => [
        labelOf(check),
        check.verdict === 'failed' ? `failed: ${check.reason}` : check.verdict === 'ok' ? 'ok' : 'unknown',
      ]),
    ),
  }
}

function labelOf(check: SharedCheck): string {
  if (check.role === 'model_provider') return 'llm'
  return check.role === 'tool' ? `tool_${check.name}` : check.name
}

export function replicaHealth(
  kind: ProbeKind,
  row: ReplicaRow,
  spec: PoolSpec,
  dependencies: Health,
  nowMs: number,
  lagMs: number,
): Health {
  const { phase } = row
  const started = phase.kind === 'ready' || phase.kind === 'draining'
  if (kind === 'startup') return one('started', started, `${row.name} is ${phase.kind}`)
  if (kind === 'liveness') {
    const silent = started && isSilent(row, spec.pulse, nowMs, lagMs)
    return one(
      'pulse',
      !silent && phase.kind !== 'quarantined',
      silent ? `no pulse for ${Math.round(nowMs - row.pulse.lastMs)} ms` : `${row.name} is ${phase.kind}`,
    )
  }
  if (phase.kind !== 'ready') return one('phase', false, `${row.name} is ${phase.kind}`)
  const own = Object.entries(row.checks).map(([name, result]): [string, string] => [name, textOf(result)])
  const notReady = row.readiness.verdict !== 'ok'
  return {
    status: notReady ? 'unhealthy' : dependencies.status,
    checks: {
      ...dependencies.checks,
      ...Object.fromEntries(own),
      ...(notReady && own.length === 0 ? { checks: 'failed: no answer yet' } : {}),
    },
  }
}

/** A pool is as ready as its best replica, and degraded while one of those it should have is missing. */
export function poolHealth(
  kind: ProbeKind,
  pool: PoolRow,
  spec: PoolSpec,
  replicas: readonly ReplicaRow[],
  dependencies: Health,
  nowMs: number,
  lagMs: number,
): Health {
  const rows = replicas.filter((row) => row.phase.kind !== 'quarantined')
  const well = rows.filter(
    (row) => replicaHealth(kind, row, spec, { status: 'healthy', checks: {} }, nowMs, lagMs).status !== 'unhealthy',
  ).length
  const count = `${well} of ${pool.wanted} replicas`
  const replicasCheck =
    well === 0 && pool.wanted > 0 ? `failed: ${count}` : well < pool.wanted ? `degraded: ${count}` : 'ok'
  const own: HealthStatus = well === 0 && pool.wanted > 0 ? 'unhealthy' : well < pool.wanted ? 'degraded' : 'healthy'
  if (kind !== 'readiness') return { status: own, checks: { replicas: replicasCheck } }
  const held = pool.hold !== null
  const status = worst([own, dependencies.status, held ? 'unhealthy' : 'healthy'])
  return {
    status,
    checks: {
      replicas: replicasCheck,
      ...dependencies.checks,
      ...(held ? { hold: `failed: ${pool.hold.reason}` } : {}),
    },
  }
}

export function worst(statuses: readonly HealthStatus[]): HealthStatus {
  if (statuses.includes('unhealthy')) return 'unhealthy'
  return statuses.includes('degraded') ? 'degraded' : 'healthy'
}

function one(name: string, ok: boolean, reason: string): Health {
  return { status: ok ? 'healthy' : 'unhealthy', checks: { [name]: ok ? 'ok' : `failed: ${reason}` } }
}

function textOf(result: CheckResult): string {
  return result.ok ? 'ok' : `failed: ${result.reason}`
}
