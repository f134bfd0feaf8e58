import type { Change } from '../../../src/model/change.ts'
import type { IncidentId, PoolName } from '../../../src/model/ids.ts'
import type { Incident } from '../../../src/model/incident.ts'
import type { PoolSpec } from '../../../src/model/pool.ts'
import type { Checker, Trace, TraceEvent } from '../trace.ts'

const hourMs = 3_600_000

interface Count {
  softMs: number[]
  alarmedMs: number
}

/**
 * R10: too many soft restarts of a pool within an hour, and people are told in the very decision; once an hour, and
 * not before. What a person asked for is no healing. A supervisor that starts counts anew.
 */
export class AlarmChecker implements Checker {
  readonly rule = 'healing_is_not_hidden'
  readonly sees = ['committed', 'supervisor'] as const
  private readonly trace: Trace
  private readonly pools: readonly PoolSpec[]
  private readonly audience: string
  private readonly counts = new Map<PoolName, Count>()
  private readonly actionCounts = new Map<IncidentId, number>()

  constructor(trace: Trace, pools: readonly PoolSpec[], audience: string) {
    this.trace = trace
    this.pools = pools
    this.audience = audience
  }

  see(event: TraceEvent): void {
    if (event.kind === 'supervisor' && event.what === 'born') this.counts.clear()
    if (event.kind !== 'committed') return
    const { decisions, nowMs } = event.batch
    decisions.forEach((changes, at) => {
      if (event.result.outcomes[at] === 'applied') this.decided(changes, nowMs)
    })
  }

  private decided(changes: readonly Change[], nowMs: number): void {
    const soft = new Map<PoolName, number>()
    for (const change of changes) {
      if (change.kind !== 'incident' || change.incident.pool === null) continue
      const { pool } = change.incident
      soft.set(pool, (soft.get(pool) ?? 0) + this.newSoft(change.incident))
    }
    for (const spec of this.pools) {
      const count = soft.get(spec.name) ?? 0
      const isDue = count > 0 && this.counted(spec, count, nowMs)
      const isTold = changes.some((change) => isAlarm(change, spec.name, this.audience))
      if (isDue !== isTold)
        this.trace.violate(
          this.rule,
          `pool ${spec.name}: the alarm is ${isDue ? 'due and not told' : 'told and not due'}`,
        )
    }
  }

  private newSoft({ id, actions, fault }: Incident): number {
    const seen = this.actionCounts.get(id) ?? 0
    this.actionCounts.set(id, Math.max(seen, actions.length))
    if (fault.kind === 'operator') return 0
    return actions.slice(seen).filter(({ kind, status }) => kind === 'soft_restart' && status !== 'observed').length
  }

  private counted({ name, recovery }: PoolSpec, count: number, nowMs: number): boolean {
    const before = this.counts.get(name) ?? { softMs: [], alarmedMs: Number.NEGATIVE_INFINITY }
    this.counts.set(name, before)
    before.softMs = [...before.softMs, ...Array<number>(count).fill(nowMs)].filter((at) => nowMs - at < hourMs)
    if (before.softMs.length < recovery.alertAfterSoft || nowMs - before.alarmedMs < hourMs) return false
    before.alarmedMs = nowMs
    return true
  }
}

function isAlarm(change: Change, pool: PoolName, audience: string): boolean {
  if (change.kind !== 'notification') return false
  return change.deliveries.some(
    ({ to, notification }) =>
      to === audience &&
      notification.incidentId === null &&
      notification.text.includes(`pool ${pool}: `) &&
      notification.text.includes('soft restarts within an hour'),
  )
}
