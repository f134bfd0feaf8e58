import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { assertNever } from '../../../model/assert.ts'
import type { Change } from '../../../model/change.ts'
import { limits } from '../../../model/limits.ts'
import { type OutboxPage, type OutboxWrite, severityRank, type Told } from '../../../model/notification.ts'

type NotificationChange = Extract<Change, { readonly kind: 'notification' }>

interface Row {
  readonly seq: number
  readonly tries: number
  readonly retryAtMs: number
  readonly body: string
}

/** Deliveries that wait for their notifiers, and what these know of open incidents. Bodies are JSON text. */
export class Outbox {
  readonly #add: StatementSync
  readonly #page: StatementSync
  readonly #depth: StatementSync
  readonly #count: StatementSync
  readonly #quietest: StatementSync
  readonly #remove: StatementSync
  readonly #postpone: StatementSync
  readonly #drop: StatementSync
  readonly #dropped: StatementSync
  readonly #ownUp: StatementSync
  readonly #ownedUp: StatementSync
  readonly #forget: StatementSync
  readonly #forgetDropped: StatementSync
  readonly #putTold: StatementSync
  readonly #forgetTold: StatementSync
  readonly #told: StatementSync

  constructor(db: DatabaseSync) {
    // The same delivery again is the same delivery.
    this.#add = db.prepare(
      'INSERT INTO outbox (notifier, id, rank, body) VALUES (?, ?, ?, ?) ON CONFLICT (notifier, id) DO NOTHING',
    )
    this.#page = db.prepare(`SELECT seq, tries, retry_at_ms AS retryAtMs, body FROM outbox
      WHERE notifier = ? ORDER BY seq LIMIT ?`)
    this.#depth = db.prepare('SELECT count(*) AS count FROM outbox WHERE notifier = ?')
    this.#count = db.prepare('SELECT count(*) AS count FROM outbox')
    this.#quietest = db.prepare('SELECT seq, notifier FROM outbox ORDER BY rank, seq LIMIT ?')
    this.#remove = db.prepare('DELETE FROM outbox WHERE seq = ?')
    this.#postpone = db.prepare('UPDATE outbox SET tries = ?, retry_at_ms = ? WHERE seq = ?')
    this.#drop = db.prepare(`INSERT INTO outbox_dropped (notifier, count) VALUES (?, 1)
      ON CONFLICT (notifier) DO UPDATE SET count = count + 1`)
    this.#dropped = db.prepare('SELECT count FROM outbox_dropped WHERE notifier = ?')
    this.#ownUp = db.prepare('UPDATE outbox_dropped SET count = count - ? WHERE notifier = ?')
    this.#ownedUp = db.prepare('DELETE FROM outbox_dropped WHERE count <= 0')
    this.#forget = db.prepare('DELETE FROM outbox WHERE notifier NOT IN (SELECT value FROM json_each(?))')
    this.#forgetDropped = db.prepare(
      'DELETE FROM outbox_dropped WHERE notifier NOT IN (SELECT value FROM json_each(?))',
    )
    this.#putTold = db.prepare('INSERT OR REPLACE INTO told (incident, body) VALUES (?, ?)')
    this.#forgetTold = db.prepare('DELETE FROM told WHERE incident = ?')
    this.#told = db.prepare('SELECT body FROM told ORDER BY incident')
  }

  add({ told, deliveries }: NotificationChange): void {
    if (told !== null) this.#tell(told)
    for (const { to, notification } of deliveries)
      this.#add.run(to, notification.id, severityRank(notification.severity), JSON.stringify(notification))
    if (deliveries.length > 0) this.#bound()
  }

  write(write: OutboxWrite): void {
    switch (write.do) {
      case 'remove':
        this.#remove.run(write.seq)
        return
      case 'postpone':
        this.#postpone.run(write.tries, write.retryAtMs, write.seq)
        return
      case 'own_up':
        this.#ownUp.run(write.count, write.notifier)
        this.#ownedUp.run()
        return
      case 'keep_only': {
        const names = JSON.stringify(write.notifiers)
        this.#forget.run(names)
        this.#forgetDropped.run(names)
        return
      }
      default:
        return assertNever(write)
    }
  }

  page(notifier: string, limit: number): OutboxPage {
    const rows = this.#page.all(notifier, limit) as unknown as Row[]
    return {
      rows: rows.map(({ body, ...row }) => ({ ...row, notification: JSON.parse(body) })),
      depth: Number(this.#depth.get(notifier)?.count),
      dropped: Number(this.#dropped.get(notifier)?.count ?? 0),
    }
  }

  told(): Told[] {
    return this.#told.all().map(({ body }) => JSON.parse(String(body)) as Told)
  }

  #tell(told: Told): void {
    if (Object.keys(told.notifiers).length === 0) this.#forgetTold.run(told.incidentId)
    else this.#putTold.run(told.incidentId, JSON.stringify(told))
  }

  #bound(): void {
    const tooMany = Number(this.#count.get()?.count) - limits.outboxRows
    if (tooMany <= 0) return
    const rows = this.#quietest.all(tooMany) as unknown as { readonly seq: number; readonly notifier: string }[]
    for (const { seq, notifier } of rows) {
      this.#remove.run(seq)
      this.#drop.run(notifier)
    }
  }
}
