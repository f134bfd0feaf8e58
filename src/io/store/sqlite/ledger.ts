import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Change, DependencyRecord, PoolRecord, ReplicaRecord } from '../../../model/change.ts'
import type { Incident } from '../../../model/incident.ts'
import { limits } from '../../../model/limits.ts'
import type { AuditRow } from '../../../port/store.ts'

type Audit = Extract<Change, { readonly kind: 'audit' }>
interface Body {
  readonly body: string
}

/** Incidents (their actions stand inside them), replicas, pools, dependencies, and what operators did. Bodies are JSON text. */
export class Ledger {
  readonly #putIncident: StatementSync
  readonly #openIncidents: StatementSync
  readonly #pruneIncidents: StatementSync
  readonly #putReplica: StatementSync
  readonly #forgetReplica: StatementSync
  readonly #replicas: StatementSync
  readonly #putPool: StatementSync
  readonly #pools: StatementSync
  readonly #putDependency: StatementSync
  readonly #dependencies: StatementSync
  readonly #addAudit: StatementSync
  readonly #listAudit: StatementSync
  readonly #pruneAudit: StatementSync

  constructor(db: DatabaseSync) {
    this.#putIncident = db.prepare(`INSERT INTO incident (id, status, replica, task, detected_ms, body)
      VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET status = excluded.status, replica = excluded.replica,
      task = excluded.task, detected_ms = excluded.detected_ms, body = excluded.body`)
    this.#openIncidents = db.prepare(`SELECT body FROM incident WHERE status <> 'closed' ORDER BY seq`)
    this.#pruneIncidents = db.prepare(`DELETE FROM incident WHERE seq IN (
      SELECT seq FROM incident WHERE status = 'closed' ORDER BY seq DESC LIMIT ? OFFSET ?)`)
    this.#putReplica = db.prepare('INSERT OR REPLACE INTO replica (name, body) VALUES (?, ?)')
    this.#forgetReplica = db.prepare('DELETE FROM replica WHERE name = ?')
    this.#replicas = db.prepare('SELECT body FROM replica ORDER BY name')
    this.#putPool = db.prepare('INSERT OR REPLACE INTO pool (name, body) VALUES (?, ?)')
    this.#pools = db.prepare('SELECT body FROM pool ORDER BY name')
    this.#putDependency = db.prepare('INSERT OR REPLACE INTO dependency (name, body) VALUES (?, ?)')
    this.#dependencies = db.prepare('SELECT body FROM dependency ORDER BY name')
    this.#addAudit = db.prepare('INSERT INTO audit (at_ms, who, what, target, reason) VALUES (?, ?, ?, ?, ?)')
    this.#listAudit = db.prepare('SELECT at_ms AS atMs, who, what, target, reason FROM audit ORDER BY seq DESC LIMIT ?')
    this.#pruneAudit = db.prepare('DELETE FROM audit WHERE seq <= (SELECT max(seq) FROM audit) - ?')
  }

  putIncident(incident: Incident): void {
    const { id, status, replica, taskId, detectedMs } = incident
    this.#putIncident.run(id, status, replica, taskId, detectedMs, JSON.stringify(incident))
  }

  openIncidents(): Incident[] {
    return bodies(this.#openIncidents)
  }

  putReplica(record: ReplicaRecord): void {
    this.#putReplica.run(record.name, JSON.stringify(record))
  }

  forgetReplica(name: string): void {
    this.#forgetReplica.run(name)
  }

  replicas(): ReplicaRecord[] {
    return bodies(this.#replicas)
  }

  putPool(record: PoolRecord): void {
    this.#putPool.run(record.pool, JSON.stringify(record))
  }

  putDependency(record: DependencyRecord): void {
    this.#putDependency.run(record.dependency, JSON.stringify(record))
  }

  dependencies(): DependencyRecord[] {
    return bodies(this.#dependencies)
  }

  pools(): PoolRecord[] {
    return bodies(this.#pools)
  }

  addAudit({ atMs, who, what, target, reason }: Audit): void {
    this.#addAudit.run(atMs, who, what, target, reason)
  }

  /** Newest first. */
  audit(limit: number): AuditRow[] {
    return this.#listAudit.all(limit) as unknown as AuditRow[]
  }

  /** Returns how many closed incidents were deleted. */
  prune(keepClosed: number): number {
    this.#pruneAudit.run(limits.auditRowsKept)
    return Number(this.#pruneIncidents.run(limits.prunedPerCall, keepClosed).changes)
  }
}

function bodies<T>(statement: StatementSync): T[] {
  return (statement.all() as unknown as Body[]).map(({ body }) => JSON.parse(body) as T)
}
