import type { Change, Committed } from '../model/change.ts'
import type { Notice } from '../model/event.ts'
import type { IncidentId } from '../model/ids.ts'
import { limits } from '../model/limits.ts'
import type { Delivery, Notification, Told } from '../model/notification.ts'
import {
  type Audience,
  type Letterhead,
  type NodeTold,
  nodeAlertKey,
  owningUp,
  tellIncident,
  tellNode,
} from '../policy/alert.ts'

/** What is known once a decision is committed. */
interface Lesson {
  readonly incidents: ReadonlyMap<IncidentId, Told>
  readonly node: ReadonlyMap<string, NodeTold>
  readonly changes: readonly Change[]
}

/** What a batch would tell, one entry a decision; null for most. It counts only once it is committed. */
export type Proposal = readonly (Lesson | null)[]

type NodeNotice = Extract<Notice, { readonly kind: 'node' }>

/**
 * Remembers what notifiers were told, and turns the notices of decisions into
 * the changes that tell them, so that both are written in one transaction (R9).
 */
export class Teller {
  private readonly audiences: readonly Audience[]
  private readonly letterhead: Letterhead
  private readonly onNews: () => void
  private readonly told = new Map<IncidentId, Told>()
  private readonly nodeTold = new Map<string, NodeTold>()
  /** What cannot be written now, by notifier. */
  private readonly pressed = new Map<string, Notification[]>()

  constructor(audiences: readonly Audience[], letterhead: Letterhead, onNews: () => void) {
    this.audiences = audiences
    this.letterhead = letterhead
    this.onNews = onNews
  }

  /** What the last supervisor's notifiers know. */
  restore(told: readonly Told[]): void {
    for (const one of told) this.told.set(one.incidentId, one)
  }

  /** Whether a decision that changes nothing else must be written, because somebody is to be told. */
  wants(notices: readonly Notice[]): boolean {
    return this.audiences.length > 0 && notices.some(isCritical)
  }

  propose(batch: readonly (readonly Notice[])[]): Proposal {
    if (this.audiences.length === 0) return []
    const draft: Draft = { incidents: new Map(), node: new Map() }
    return batch.map((notices) => (notices.some(mayTell) ? this.lessonOf(notices, draft) : null))
  }

  /** After the commit. What a refused decision would have told, nobody was: it is told with the next news. */
  accept(proposal: Proposal, outcomes: Committed['outcomes']): void {
    const untold = new Set<IncidentId>()
    let isNews = false
    proposal.forEach((lesson, at) => {
      if (lesson === null) return
      if ((outcomes[at] ?? 'applied') !== 'applied') {
        for (const id of lesson.incidents.keys()) untold.add(id)
        return
      }
      for (const [id, told] of lesson.incidents) if (!untold.has(id)) this.learn(id, told)
      for (const [key, told] of lesson.node) this.learnOfNode(key, told)
      isNews = true
    })
    if (isNews) this.onNews()
  }

  /** Tells from memory: for when the store itself is the news. It is lost if this process ends first. */
  press(notice: NodeNotice): void {
    const key = nodeAlertKey(notice.text)
    const news = tellNode(this.nodeTold.get(key) ?? null, notice, this.audiences, this.letterhead)
    if (news === null) return
    this.learnOfNode(key, news.told)
    for (const { to, notification } of news.deliveries) {
      const waiting = this.pressed.get(to) ?? []
      this.pressed.set(to, [...waiting, notification].slice(-limits.pressingNotifications))
    }
    this.onNews()
  }

  /** The oldest that one notifier is to be told from memory, or null. */
  pressing(notifier: string): Notification | null {
    return this.pressed.get(notifier)?.[0] ?? null
  }

  release(notifier: string, id: string): void {
    const waiting = this.pressed.get(notifier) ?? []
    const rest = waiting.filter((one) => one.id !== id)
    this.pressed.set(notifier, rest)
  }

  owningUp(notifier: string, dropped: number, atMs: number): Notification {
    return owningUp(notifier, dropped, atMs, this.letterhead)
  }

  private lessonOf(notices: readonly Notice[], draft: Draft): Lesson | null {
    const lesson: Draft = { incidents: new Map(), node: new Map() }
    const changes: Change[] = []
    for (const notice of notices) {
      if (notice.kind === 'incident') {
        const { id } = notice.incident
        const before = draft.incidents.get(id) ?? this.told.get(id) ?? null
        const news = tellIncident(before, notice, this.audiences, this.letterhead)
        if (news === null) continue
        for (const { incidents } of [draft, lesson]) incidents.set(id, news.told)
        changes.push({ kind: 'notification', ...news })
      } else if (notice.kind === 'node') {
        const key = nodeAlertKey(notice.text)
        const before = draft.node.get(key) ?? this.nodeTold.get(key) ?? null
        const news = tellNode(before, notice, this.audiences, this.letterhead)
        if (news === null) continue
        for (const { node } of [draft, lesson]) node.set(key, news.told)
        if (news.deliveries.length > 0) changes.push(aboutNode(news.deliveries))
      }
    }
    return lesson.incidents.size + lesson.node.size === 0 ? null : { ...lesson, changes }
  }

  private learn(id: IncidentId, told: Told): void {
    if (Object.keys(told.notifiers).length === 0) this.told.delete(id)
    else this.told.set(id, told)
  }

  private learnOfNode(key: string, told: NodeTold): void {
    this.nodeTold.delete(key) // The newest stands last, so that the oldest is forgotten first.
    this.nodeTold.set(key, told)
    const [oldest] = this.nodeTold.keys()
    if (this.nodeTold.size > limits.nodeAlertsRemembered && oldest !== undefined) this.nodeTold.delete(oldest)
  }
}

interface Draft {
  readonly incidents: Map<IncidentId, Told>
  readonly node: Map<string, NodeTold>
}

function aboutNode(deliveries: readonly Delivery[]): Change {
  return { kind: 'notification', told: null, deliveries }
}

function isCritical(notice: Notice): boolean {
  return notice.kind === 'node' && notice.severity === 'critical'
}

function mayTell(notice: Notice): boolean {
  return notice.kind === 'incident' || isCritical(notice)
}
