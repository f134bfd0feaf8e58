import { assertNever } from '../../src/model/assert.ts'
import type { Change } from '../../src/model/change.ts'
import { limits } from '../../src/model/limits.ts'
import {
  type Notification,
  type OutboxPage,
  type OutboxWrite,
  severityRank,
  type Told,
} from '../../src/model/notification.ts'

interface Row {
  readonly seq: number
  readonly to: string
  readonly notification: Notification
  tries: number
  retryAtMs: number
}

/** The outbox of the store in memory. */
export class MemoryOutbox {
  readonly told = new Map<string, Told>()
  #rows: Row[] = []
  readonly #dropped = new Map<string, number>()
  #lastSeq = 0

  add({ told, deliveries }: Extract<Change, { readonly kind: 'notification' }>): void {
    if (told !== null && Object.keys(told.notifiers).length === 0) this.told.delete(told.incidentId)
    else if (told !== null) this.told.set(told.incidentId, told)
    for (const { to, notification } of deliveries) {
      if (this.#rows.some((row) => row.to === to && row.notification.id === notification.id)) continue
      this.#lastSeq += 1
      this.#rows.push({ seq: this.#lastSeq, to, notification, tries: 0, retryAtMs: 0 })
    }
    while (this.#rows.length > limits.outboxRows) this.#dropQuietest()
  }

  write(write: OutboxWrite): void {
    switch (write.do) {
      case 'remove':
        this.#rows = this.#rows.filter(({ seq }) => seq !== write.seq)
        return
      case 'postpone': {
        const row = this.#rows.find(({ seq }) => seq === write.seq)
        if (row !== undefined) Object.assign(row, { tries: write.tries, retryAtMs: write.retryAtMs })
        return
      }
      case 'own_up':
        this.#dropped.set(write.notifier, Math.max(0, (this.#dropped.get(write.notifier) ?? 0) - write.count))
        return
      case 'keep_only':
        this.#rows = this.#rows.filter(({ to }) => write.notifiers.includes(to))
        for (const name of this.#dropped.keys()) if (!write.notifiers.includes(name)) this.#dropped.delete(name)
        return
      default:
        return assertNever(write)
    }
  }

  page(notifier: string, limit: number): OutboxPage {
    const rows = this.#rows.filter(({ to }) => to === notifier)
    return {
      rows: rows.slice(0, limit).map(({ to: _, ...row }) => row),
      depth: rows.length,
      dropped: this.#dropped.get(notifier) ?? 0,
    }
  }

  #dropQuietest(): void {
    const rank = (row: Row) => severityRank(row.notification.severity)
    const quietest = Math.min(...this.#rows.map(rank))
    const at = this.#rows.findIndex((row) => rank(row) === quietest)
    const [row] = this.#rows.splice(at, 1)
    if (row !== undefined) this.#dropped.set(row.to, (this.#dropped.get(row.to) ?? 0) + 1)
  }
}
