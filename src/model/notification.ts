import type { IncidentId, PoolName, ReplicaName, TaskId } from './ids.ts'
import type { IncidentStatus, Severity } from './incident.ts'

/** What a notifier is told about an incident: that there is one, that it changed, that it is over. */
export type NotificationChange = 'opened' | 'changed' | 'resolved'

/** One message to one notifier. Its texts are redacted, inert (no control characters), bounded. */
export interface Notification {
  /** The same in every try: who deduplicates by it sees each once. */
  readonly id: string
  /** Null: about the node itself, which nothing resolves. */
  readonly incidentId: IncidentId | null
  readonly change: NotificationChange
  readonly severity: Severity
  readonly title: string
  readonly text: string
  /** Who answers for the pool, as the configuration says. */
  readonly owner: string | null
  readonly pool: PoolName | null
  readonly replica: ReplicaName | null
  readonly taskId: TaskId | null
  readonly evidence: readonly string[]
  /** What to type next. */
  readonly commands: readonly string[]
  readonly atMs: number
  /** Counts what this notifier is told about this incident, from 1. */
  readonly sequence: number
}

/** What one notifier was told about one incident that is not over. */
export interface LastTold {
  readonly sequence: number
  /** The loudest so far. */
  readonly severity: Severity
  /** When it was last told of a severity and status together: the same again within the quiet period is held back. */
  readonly toldMs: Readonly<Partial<Record<`${Severity}/${IncidentStatus}`, number>>>
  /** Held back since the last message. */
  readonly heldBack: number
}

/** What all of them were told, written in the transaction of the incident it is about. */
export interface Told {
  readonly incidentId: IncidentId
  /** By the notifier's name. Empty: nobody knows of it (any more), and the row goes. */
  readonly notifiers: Readonly<Record<string, LastTold>>
}

export interface Delivery {
  /** The notifier's name. */
  readonly to: string
  readonly notification: Notification
}

/** A delivery that waits. */
export interface OutboxRow {
  /** Grows: each notifier is told in this order. */
  readonly seq: number
  readonly notification: Notification
  /** How often it failed. */
  readonly tries: number
  /** Not before, clock ms; 0 for at once. */
  readonly retryAtMs: number
}

/** What waits for one notifier. */
export interface OutboxPage {
  /** Oldest first. */
  readonly rows: readonly OutboxRow[]
  /** All of its rows. */
  readonly depth: number
  /** Rows thrown away because the outbox was full, and not yet owned up to. */
  readonly dropped: number
}

/** What becomes of deliveries. A row that is gone already is no error: the last life may have written it. */
export type OutboxWrite =
  /** Sent, refused, or given up. */
  | { readonly do: 'remove'; readonly seq: number }
  | { readonly do: 'postpone'; readonly seq: number; readonly tries: number; readonly retryAtMs: number }
  /** The notifier was told that so many were dropped. */
  | { readonly do: 'own_up'; readonly notifier: string; readonly count: number }
  /** The configuration names these only: what waits for others goes. */
  | { readonly do: 'keep_only'; readonly notifiers: readonly string[] }

/** Which private addresses a webhook may reach: none, any, or those inside these networks (`10.0.0.0/8`, `::1`). */
export type AllowPrivate = boolean | readonly string[]

interface NotifierBase {
  /** Its kind, and a number from the second of a kind on: `webhook`, `webhook-2`. */
  readonly name: string
  /** What is quieter than this it is not told. */
  readonly minimum: Severity
  readonly timeoutMs: number
}

/** Adding a kind: an arm here, a file in `io/notify`, its keys in `config/schema.ts`, a section in docs/notifications.md. */
export type NotifierSpec =
  | (NotifierBase & { readonly kind: 'log' })
  | (NotifierBase & {
      readonly kind: 'webhook'
      readonly url: string
      /** Signs every message. */
      readonly secret: string
      readonly allowPrivate: AllowPrivate
    })

const ranks: Readonly<Record<Severity, number>> = { info: 0, warning: 1, critical: 2 }

/** 0 for info, 1 for warning, 2 for critical. */
export function severityRank(severity: Severity): number {
  return ranks[severity]
}
