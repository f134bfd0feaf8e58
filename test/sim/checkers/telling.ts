import type { Change } from '../../../src/model/change.ts'
import type { IncidentId } from '../../../src/model/ids.ts'
import type { Incident } from '../../../src/model/incident.ts'
import type { Notification } from '../../../src/model/notification.ts'
import type { Checker, Trace, TraceEvent } from '../trace.ts'

/** What the supervisor does on its own account, and people are warned of (R9). */
const loud: ReadonlySet<string> = new Set(['hard_restart', 'replace', 'quarantine', 'hold', 'dead_letter'])

interface Known {
  readonly isOpen: boolean
  readonly sequence: number
}

/**
 * R9: whoever does something loud tells the pager in the same decision; what
 * was opened is resolved exactly once, when the incident closes; nothing that
 * was to be told is lost, told out of order, or told anew under another name.
 */
export class TellingChecker implements Checker {
  readonly rule = 'told'
  readonly sees = ['committed', 'notified'] as const
  private readonly trace: Trace
  private readonly pager: string
  private readonly actionCounts = new Map<IncidentId, number>()
  /** By notifier and incident: what was committed to be told. */
  private readonly known = new Map<string, Known>()
  /** By notifier: ids that were committed and have not arrived, in order. */
  private readonly owed = new Map<string, string[]>()
  private readonly arrived = new Map<string, Set<string>>()

  /** @param pager  The notifier that is told of warnings. */
  constructor(trace: Trace, pager: string) {
    this.trace = trace
    this.pager = pager
  }

  see(event: TraceEvent): void {
    if (event.kind === 'committed') {
      event.batch.decisions.forEach((changes, at) => {
        if (event.result.outcomes[at] === 'applied') this.decided(changes)
      })
    } else if (event.kind === 'notified') this.arrives(event.to, event.notification)
  }

  /** At the end: what has not arrived still waits. */
  end(notifier: string, waiting: ReadonlySet<string>): void {
    for (const id of this.owed.get(notifier) ?? [])
      if (!waiting.has(id)) this.trace.violate('notifications_kept', `${id} has not arrived and waits nowhere`)
  }

  private decided(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind !== 'notification') continue
      for (const { to, notification } of change.deliveries) this.told(to, notification)
    }
    // The last word of a decision about an incident is what stands.
    const incidents = new Map(
      changes.flatMap((change) => (change.kind === 'incident' ? [[change.incident.id, change.incident] as const] : [])),
    )
    for (const incident of incidents.values()) this.judge(incident)
  }

  private judge(incident: Incident): void {
    const before = this.actionCounts.get(incident.id) ?? 0
    this.actionCounts.set(incident.id, incident.actions.length)
    const isLoud =
      incident.fault.kind !== 'operator' &&
      incident.actions.slice(before).some(({ kind, status }) => loud.has(kind) && status !== 'observed')
    const known = this.known.get(keyOf(this.pager, incident.id))
    if (isLoud && known === undefined)
      this.trace.violate(this.rule, `${incident.id} was acted on, and the decision tells nobody`)
    if (incident.status === 'closed' && known?.isOpen === true)
      this.trace.violate('resolved_once', `${incident.id} was closed, and who knew of it is not told`)
    if (incident.status !== 'closed' && known?.isOpen === false)
      this.trace.violate('resolved_once', `${incident.id} was told to be over, and is ${incident.status}`)
  }

  private told(to: string, { id, incidentId, change, sequence }: Notification): void {
    this.owed.set(to, [...(this.owed.get(to) ?? []), id])
    if (incidentId === null) return
    const key = keyOf(to, incidentId)
    const known = this.known.get(key)
    if ((change === 'opened') !== (known === undefined))
      this.trace.violate(
        'opened_once',
        `${to} is told that ${incidentId} ${change}, after ${known?.sequence ?? 0} messages`,
      )
    if (known?.isOpen === false) this.trace.violate('resolved_once', `${to} is told of ${incidentId} after its end`)
    if (sequence !== (known?.sequence ?? 0) + 1)
      this.trace.violate('told_in_order', `${id} is message ${sequence} after ${known?.sequence ?? 0}`)
    this.known.set(key, { isOpen: change !== 'resolved', sequence })
  }

  private arrives(to: string, { id, incidentId }: Notification): void {
    const arrived = this.arrived.get(to) ?? new Set()
    this.arrived.set(to, arrived)
    if (arrived.has(id)) return // At least once: the same id again is the same message.
    arrived.add(id)
    const owed = this.owed.get(to) ?? []
    if (owed[0] === id) owed.shift()
    // That the store failed is told from memory.
    else if (incidentId !== null)
      this.trace.violate('told_in_order', `${to} got ${id}, expected ${owed[0] ?? 'nothing'}`)
  }
}

function keyOf(to: string, id: IncidentId): string {
  return `${to} ${id}`
}
