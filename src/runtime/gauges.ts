import { isDown } from '../policy/breaker.ts'
import type { Clock } from '../port/clock.ts'
import type { Meter } from '../port/meter.ts'
import type { PauseWatch } from './pause.ts'
import type { Tables } from './tables.ts'
import type { Tick } from './tick.ts'

/** Gauges are set when somebody reads them: between scrapes they cost nothing. */
export function gauges(parts: {
  readonly tables: Tables
  readonly meter: Meter
  readonly clock: Clock
  readonly pause: PauseWatch
  readonly tick: Tick
}): void {
  const { tables, meter, clock, pause, tick } = parts
  for (const name of ['prunella_replicas', 'prunella_incidents_open']) meter.clear(name)
  for (const pool of tables.pools.values()) {
    const labels = { pool: pool.name }
    const replicas = tables.replicasOf(pool.name)
    meter.gauge(
      'agent_active_tasks',
      labels,
      replicas.reduce((sum, row) => sum + tables.inHand(row.name), 0),
    )
    meter.gauge('agent_queue_depth', labels, pool.depth.queued)
    meter.gauge('prunella_hold', labels, pool.hold === null && pool.notReady === null ? 0 : 1)
    const phases = new Map<string, number>()
    for (const row of replicas) phases.set(row.phase.kind, (phases.get(row.phase.kind) ?? 0) + 1)
    for (const [phase, count] of phases) meter.gauge('prunella_replicas', { ...labels, phase }, count)
    const open = [...tables.incidents.values()].filter((incident) => incident.pool === pool.name).length
    meter.gauge('prunella_incidents_open', labels, open)
  }
  for (const [dependency, row] of tables.dependencies) {
    const up = !isDown(row) && row.check.verdict !== 'failed'
    if (row.last !== null) meter.gauge('prunella_dependency_up', { dependency }, up ? 1 : 0)
  }
  meter.gauge('prunella_supervisor_lag_seconds', {}, pause.lagMs(clock.nowMs()) / 1000)
  meter.gauge('prunella_supervisor_last_sweep_timestamp_seconds', {}, tick.lastSweepMs / 1000)
}
