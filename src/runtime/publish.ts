import { assertNever } from '../model/assert.ts'
import type { Notice } from '../model/event.ts'
import type { Incident, Severity } from '../model/incident.ts'
import type { Log } from '../port/log.ts'
import type { Meter } from '../port/meter.ts'
import type { EventLog } from './events.ts'

/** Events, metrics and log lines are projections of committed notices: nothing else feeds them (R9). */
export class Publisher {
  private readonly events: EventLog
  private readonly meter: Meter
  private readonly log: Log

  constructor(events: EventLog, meter: Meter, log: Log) {
    this.events = events
    this.meter = meter
    this.log = log
  }

  publish(notice: Notice): void {
    this.events.publish(notice)
    switch (notice.kind) {
      case 'task':
      case 'pool':
        if (notice.kind === 'pool') this.log.info({ pool: notice.pool }, notice.text)
        return
      case 'attempt_ended':
        this.meter.count('prunella_tasks_total', { pool: notice.pool, outcome: notice.outcome })
        this.meter.observe('prunella_task_seconds', { pool: notice.pool }, (notice.atMs - notice.startedMs) / 1000)
        return
      case 'replica':
        this.log.info(
          { replica: notice.replica, incarnation: notice.incarnation },
          `${notice.replica} is ${notice.phase}`,
        )
        return
      case 'incident':
        this.incident(notice.incident, notice.change, notice.severity)
        return
      case 'action': {
        const { pool, action, fault, replica, taskId, incidentId, reason } = notice
        this.meter.count('prunella_recoveries_total', { pool, action, fault })
        this.log.info({ pool, replica, taskId, incidentId, fault }, `${action}: ${reason}`)
        return
      }
      case 'dependency':
        if (!notice.result.ok)
          this.log.warn(
            { dependency: notice.dependency },
            `dependency ${notice.dependency} failed: ${notice.result.reason}`,
          )
        return
      case 'node':
        this.say(notice.severity, {}, notice.text)
        return
      default:
        assertNever(notice)
    }
  }

  private incident(
    incident: Incident,
    change: 'opened' | 'changed' | 'recovered' | 'closed',
    severity: Severity,
  ): void {
    const { kind, culprit } = incident.fault
    if (change === 'opened') {
      this.meter.count('prunella_incidents_total', { pool: incident.pool ?? '', fault: kind, culprit })
      this.meter.observe(
        'prunella_detection_seconds',
        { fault: kind },
        Math.max(0, incident.detectedMs - incident.firstSignMs) / 1000,
      )
    }
    if (change === 'recovered' && incident.recoveredMs !== null) {
      this.meter.observe(
        'prunella_recovery_seconds',
        { fault: kind },
        Math.max(0, incident.recoveredMs - incident.detectedMs) / 1000,
      )
    }
    const subject = incident.replica ?? incident.taskId ?? incident.dependency ?? incident.pool
    const last = incident.timeline.at(-1)?.text ?? ''
    const seen = change === 'opened' || change === 'changed' ? `${incident.fault.evidence.join('; ')}; ` : ''
    this.say(
      severity,
      { incident: incident.id, fault: kind, culprit },
      `incident ${change}: ${subject} ${kind}: ${seen}${last}`,
    )
  }

  private say(severity: Severity, facts: Readonly<Record<string, unknown>>, text: string): void {
    if (severity === 'info') this.log.info(facts, text)
    else if (severity === 'warning') this.log.warn(facts, text)
    else this.log.error(facts, text)
  }
}
