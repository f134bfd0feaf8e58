import type { Notice } from '../model/event.ts'
import type { PoolName } from '../model/ids.ts'
import type { Incident, Severity } from '../model/incident.ts'
import { limits } from '../model/limits.ts'
import {
  type Delivery,
  type LastTold,
  type Notification,
  type NotificationChange,
  severityRank,
  type Told,
} from '../model/notification.ts'
import { stripControls } from '../model/redact.ts'
import { chanceOf } from './backoff.ts'
import { explainIncident, subjectOf } from './explain.ts'

/*
 * Who is told what (R9). Each notifier is an audience of its own, because each
 * starts listening at its own severity: what is a change for one is the first
 * that another hears.
 *
 * A1. `resolved` is told exactly once, and only to who was told `opened`.
 * A2. A severity and status that was told is not told again within `quietMs`:
 *     an agent that crashes 1,000 times is one message. What was held back is
 *     counted in the next one (S21).
 * A3. What is louder than anything told so far is told at once.
 */

/** As long as strikes live: a fault that comes back later is news. */
export const quietMs = 600_000

export interface Audience {
  readonly name: string
  readonly minimum: Severity
}

/** How messages are written. */
export interface Letterhead {
  readonly owners: ReadonlyMap<PoolName, string>
  readonly redact: (text: string) => string
}

type IncidentNotice = Extract<Notice, { readonly kind: 'incident' }>
type NodeNotice = Extract<Notice, { readonly kind: 'node' }>

interface Heard {
  /** What the audience knows from now on; null: nothing, or that it is over. */
  readonly last: LastTold | null
  readonly says: readonly NotificationChange[]
  /** Of the message. A resolution is as loud as the trouble it ends: dropped as quiet, it would leave an alarm standing. */
  readonly severity: Severity
}

/** What one audience is told of a notice, by what it was told before. */
export function hear(last: LastTold | null, notice: IncidentNotice, minimum: Severity): Heard {
  const { severity, atMs, incident } = notice
  const isLoud = severityRank(severity) >= severityRank(minimum)
  const isOver = incident.status === 'closed'
  if (last === null) {
    const isNews = isLoud && (notice.change === 'opened' || (notice.change === 'changed' && !isOver))
    if (!isNews) return { last, says: [], severity }
    return isOver
      ? { last: null, says: ['opened', 'resolved'], severity }
      : { last: told(null, notice), says: ['opened'], severity }
  }
  if (isOver) return { last: null, says: ['resolved'], severity: last.severity } // A1.
  if (!isLoud) return { last, says: [], severity }
  const before = last.toldMs[`${severity}/${incident.status}`]
  const isLouder = severityRank(severity) > severityRank(last.severity)
  if (!isLouder && before !== undefined && atMs - before < quietMs)
    return { last: { ...last, heldBack: last.heldBack + 1 }, says: [], severity } // A2.
  return { last: told(last, notice), says: ['changed'], severity }
}

function told(last: LastTold | null, { severity, atMs, incident }: IncidentNotice): LastTold {
  const loudest = last !== null && severityRank(last.severity) > severityRank(severity) ? last.severity : severity
  return {
    sequence: (last?.sequence ?? 0) + 1,
    severity: loudest,
    toldMs: { ...last?.toldMs, [`${severity}/${incident.status}`]: atMs },
    heldBack: 0,
  }
}

/** What every notifier is told of a notice about an incident; null when nothing is, and nothing was held back. */
export function tellIncident(
  before: Told | null,
  notice: IncidentNotice,
  audiences: readonly Audience[],
  letterhead: Letterhead,
): { readonly told: Told; readonly deliveries: readonly Delivery[] } | null {
  const { incident } = notice
  const notifiers: Record<string, LastTold> = {}
  const deliveries: Delivery[] = []
  let isChanged = false
  for (const { name, minimum } of audiences) {
    const known = before?.notifiers[name] ?? null
    const { last, says, severity } = hear(known, notice, minimum)
    if (last !== null) notifiers[name] = last
    isChanged ||= last !== known || says.length > 0
    says.forEach((change, at) => {
      const sequence = (known?.sequence ?? 0) + 1 + at
      const about = { change, severity, sequence, heldBack: known?.heldBack ?? 0 }
      deliveries.push({ to: name, notification: write(incident, about, notice.atMs, name, letterhead) })
    })
  }
  return isChanged ? { told: { incidentId: incident.id, notifiers }, deliveries } : null
}

interface About extends Pick<Notification, 'change' | 'severity' | 'sequence'> {
  readonly heldBack: number
}

function write(incident: Incident, about: About, atMs: number, to: string, letterhead: Letterhead): Notification {
  const { change, severity, sequence, heldBack } = about
  const clean = cleaner(letterhead)
  const subject = subjectOf(incident)
  const what = incident.fault.kind.replaceAll('_', ' ')
  const review = incident.status === 'needs_review' && change !== 'resolved' ? ', needs review' : ''
  const repeats = heldBack === 0 ? '' : ` Since the last message it happened ${heldBack} more time(s).`
  return {
    id: `${incident.id}.${to}.${sequence}`,
    incidentId: incident.id,
    change,
    severity,
    title: clean(`${subject}: ${what}, ${change}${review}`, limits.notificationTitleLength),
    text: clean(`${explainIncident(incident, atMs).text}${repeats}`, limits.errorTextLength),
    owner: ownerOf(incident.pool, letterhead),
    pool: incident.pool,
    replica: incident.replica,
    taskId: incident.taskId,
    evidence: incident.fault.evidence.slice(-limits.notificationEvidence).map((seen) => clean(seen, limits.noteLength)),
    commands: commandsFor(incident),
    atMs,
    sequence,
  }
}

function ownerOf(pool: PoolName | null, { owners }: Letterhead): string | null {
  return pool === null ? null : (owners.get(pool) ?? null)
}

/** What a person types next: always why, and what lets go of what is held. */
function commandsFor(incident: Incident): readonly string[] {
  const why = `prunella why ${incident.id}`
  if (incident.fault.kind === 'poison' && incident.taskId !== null) return [why, `prunella retry ${incident.taskId}`]
  if (incident.status !== 'needs_review') return [why]
  return [why, incident.replica === null ? `prunella resume ${incident.pool}` : `prunella release ${incident.replica}`]
}

/** Inert, without secrets, on one line, bounded. */
function cleaner({ redact }: Letterhead): (text: string, length: number) => string {
  return (text, length) => {
    const flat = stripControls(redact(text).replace(/\s*[\r\n]+\s*/g, ' ⏎ '))
    return flat.length > length ? `${flat.slice(0, length - 1)}…` : flat
  }
}

/** When a text about the node was last told, and how often it was held back since. */
export interface NodeTold {
  readonly atMs: number
  readonly heldBack: number
}

/** Two alerts about the node that differ in figures only are one. A figure in a name is none: pool1 is not pool2. */
export function nodeAlertKey(text: string): string {
  return text.replace(/(?<![\w.-])\d+(\.\d+)?/g, '#')
}

/** A critical word about the node itself is told to everybody: there is no incident to follow. */
export function tellNode(
  before: NodeTold | null,
  notice: NodeNotice,
  audiences: readonly Audience[],
  letterhead: Letterhead,
): { readonly told: NodeTold; readonly deliveries: readonly Delivery[] } | null {
  if (notice.severity !== 'critical') return null
  if (before !== null && notice.atMs - before.atMs < quietMs)
    return { told: { ...before, heldBack: before.heldBack + 1 }, deliveries: [] }
  const { atMs } = notice
  const heldBack = before?.heldBack ?? 0
  const repeats = heldBack === 0 ? '' : ` Since the last message it happened ${heldBack} more time(s).`
  const alert = { severity: notice.severity, title: notice.text, text: `${notice.text}${repeats}`, atMs } as const
  const deliveries = audiences.map(({ name }) => ({ to: name, notification: nodeAlert(name, alert, letterhead) }))
  return { told: { atMs, heldBack: 0 }, deliveries }
}

/** The outbox was full: who was to be told must know that there was more (S21). */
export function owningUp(to: string, dropped: number, atMs: number, letterhead: Letterhead): Notification {
  const title = `${dropped} notification(s) were dropped`
  const text = `${title}: more than ${limits.outboxRows} waited to be sent, and the quietest and oldest had to go. See the incidents themselves.`
  return nodeAlert(to, { severity: 'warning', title, text, atMs }, letterhead)
}

function nodeAlert(
  to: string,
  alert: Pick<Notification, 'severity' | 'title' | 'text' | 'atMs'>,
  letterhead: Letterhead,
): Notification {
  const clean = cleaner(letterhead)
  const atMs = Math.floor(alert.atMs)
  // Who and when, as for incidents; the text tells two of one millisecond apart.
  const mark = Math.floor(chanceOf(alert.text) * 2 ** 32).toString(36)
  return {
    id: `node-${atMs.toString(36)}-${mark}.${to}.1`,
    incidentId: null,
    change: 'opened',
    severity: alert.severity,
    title: clean(alert.title, limits.notificationTitleLength),
    text: clean(alert.text, limits.errorTextLength),
    owner: null,
    pool: null,
    replica: null,
    taskId: null,
    evidence: [],
    commands: ['prunella status', 'prunella incidents --open'],
    atMs: alert.atMs,
    sequence: 1,
  }
}
