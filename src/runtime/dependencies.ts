import type { NodeObservation } from '../model/observation.ts'
import type { CheckResult, DependencySpec } from '../model/probe.ts'
import type { PoolRow, ProbeState } from '../model/rows.ts'
import type { DependencyView } from '../model/snapshot.ts'
import { answered } from '../policy/health/probe.ts'
import { Draft, type Outcome } from '../policy/outcome.ts'
import { newProbe } from '../policy/rows.ts'
import type { Tables } from './tables.ts'

export interface DependencyRow {
  readonly spec: DependencySpec
  readonly state: ProbeState
  readonly last: { readonly result: CheckResult; readonly latencyMs: number; readonly atMs: number } | null
}

/** Shared dependencies, checked once for the node. A failed critical one gates dispatch; it restarts nobody. */
export class Dependencies {
  readonly rows = new Map<string, DependencyRow>()

  constructor(specs: readonly DependencySpec[], nowMs: number) {
    for (const spec of specs) this.rows.set(spec.name, { spec, state: newProbe(spec.probe, nowMs), last: null })
  }

  checked(
    observation: Extract<NodeObservation, { readonly kind: 'dependency_checked' }>,
    tables: Tables,
  ): readonly Outcome[] {
    const row = this.rows.get(observation.dependency)
    if (row === undefined) return []
    const { result, latencyMs, atMs } = observation
    const state = answered(row.state, result.ok, row.spec.probe, atMs)
    this.rows.set(row.spec.name, { ...row, state, last: { result, latencyMs, atMs } })
    const draft = new Draft()
    if (state.verdict !== row.state.verdict)
      draft.notice({ kind: 'dependency', dependency: row.spec.name, result, atMs })
    const outcomes = [draft.finish()]
    for (const pool of tables.pools.values()) {
      const gated = this.gate(pool, tables, atMs)
      if (gated !== null) outcomes.push(gated)
    }
    return outcomes
  }

  /** Why a pool may not be given work, or null. */
  reasonFor(dependsOn: readonly string[]): string | null {
    for (const name of dependsOn) {
      const row = this.rows.get(name)
      if (row === undefined || row.state.verdict !== 'failed') continue
      if (!row.spec.critical && row.spec.role !== 'model_provider') continue
      const why = row.last === null || row.last.result.ok ? 'no answer' : row.last.result.reason
      return `${row.spec.role === 'model_provider' ? 'model provider' : 'dependency'} ${name}: ${why}`
    }
    return null
  }

  views(tables: Tables): readonly DependencyView[] {
    return [...this.rows.values()].map(({ spec, state, last }) => ({
      name: spec.name,
      role: spec.role,
      critical: spec.critical,
      up: state.verdict === 'unknown' ? null : state.verdict === 'ok',
      reason: last === null || last.result.ok ? null : last.result.reason,
      checkedMs: last?.atMs ?? null,
      latencyMs: last?.latencyMs ?? null,
      pools: [...tables.specs.values()].filter((pool) => pool.dependsOn.includes(spec.name)).map((pool) => pool.name),
    }))
  }

  private gate(pool: PoolRow, tables: Tables, atMs: number): Outcome | null {
    const notReady = this.reasonFor(tables.specs.get(pool.name)?.dependsOn ?? [])
    if (notReady === pool.notReady) return null
    const draft = new Draft()
    draft.pool = { ...pool, notReady }
    if ((notReady === null) !== (pool.notReady === null)) {
      const text =
        notReady === null
          ? 'ready again'
          : `not ready: ${notReady}; running tasks go on, none is started, nobody is restarted`
      draft.notice({ kind: 'pool', pool: pool.name, text, atMs })
    }
    tables.dirtyPools.add(pool.name)
    return draft.finish()
  }
}
