import type { DatabaseSync } from 'node:sqlite'

/** `Prun` in ASCII: tells our files from every other SQLite database. */
export const applicationId = 0x5072756e

/**
 * One entry a version: the statements that lead from the version before it.
 * A version that was released is never edited; the next one mends it.
 */
export const migrations: readonly (readonly string[])[] = [
  [
    `CREATE TABLE meta (
      id INTEGER PRIMARY KEY CHECK (id = 1), store_id TEXT NOT NULL, commits INTEGER NOT NULL
    ) STRICT`,
    `CREATE TABLE task (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL,
      pool TEXT NOT NULL,
      status TEXT NOT NULL,
      priority INTEGER NOT NULL,
      submitted_ms REAL NOT NULL,
      not_before_ms REAL,
      deadline_ms REAL,
      finished_ms REAL,
      fence INTEGER NOT NULL DEFAULT 0,
      attempt INTEGER NOT NULL DEFAULT 0,
      counted INTEGER NOT NULL DEFAULT 0,
      suspect INTEGER NOT NULL DEFAULT 0,
      lost TEXT,
      avoid_replica TEXT,
      avoid_until_ms REAL,
      replica TEXT,
      incarnation INTEGER,
      since_ms REAL,
      lease_until_ms REAL,
      attempts TEXT,
      previous TEXT,
      error TEXT,
      reason TEXT,
      steps INTEGER NOT NULL DEFAULT 0,
      idempotency_key TEXT,
      needs TEXT,
      input TEXT NOT NULL,
      output TEXT
    ) STRICT`,
    'CREATE UNIQUE INDEX task_id ON task (id)',
    'CREATE UNIQUE INDEX task_idempotency ON task (pool, idempotency_key) WHERE idempotency_key IS NOT NULL',
    // Holds only what may be claimed: 100,000 finished rows and another pool's backlog cost a claim nothing.
    `CREATE INDEX task_claim ON task (pool, suspect, priority DESC, seq) WHERE status = 'queued'`,
    `CREATE INDEX task_due ON task (pool, not_before_ms) WHERE status = 'scheduled'`,
    `CREATE INDEX task_deadline ON task (deadline_ms)
      WHERE deadline_ms IS NOT NULL AND status IN ('queued', 'scheduled', 'held')`,
    'CREATE INDEX task_finished ON task (finished_ms) WHERE finished_ms IS NOT NULL',
    `CREATE INDEX task_status ON task (status, seq) WHERE status NOT IN ('queued', 'done')`,
    `CREATE TABLE step (
      id INTEGER PRIMARY KEY,
      task INTEGER NOT NULL,
      name TEXT NOT NULL,
      key TEXT NOT NULL,
      repeat TEXT NOT NULL,
      started_ms REAL NOT NULL,
      ended_ms REAL,
      result TEXT,
      UNIQUE (task, name, key)
    ) STRICT`,
    `CREATE TABLE incident (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      status TEXT NOT NULL,
      replica TEXT,
      task TEXT,
      detected_ms REAL NOT NULL,
      body TEXT NOT NULL
    ) STRICT`,
    `CREATE INDEX incident_open ON incident (seq) WHERE status <> 'closed'`,
    'CREATE TABLE replica (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID',
    'CREATE TABLE pool (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID',
    `CREATE TABLE audit (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      at_ms REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, target TEXT NOT NULL, reason TEXT NOT NULL
    ) STRICT`,
  ],
  [
    `CREATE TABLE outbox (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      notifier TEXT NOT NULL,
      id TEXT NOT NULL,
      rank INTEGER NOT NULL,
      tries INTEGER NOT NULL DEFAULT 0,
      retry_at_ms REAL NOT NULL DEFAULT 0,
      body TEXT NOT NULL
    ) STRICT`,
    'CREATE UNIQUE INDEX outbox_id ON outbox (notifier, id)',
    'CREATE INDEX outbox_next ON outbox (notifier, seq)',
    // What is dropped first when it is full.
    'CREATE INDEX outbox_rank ON outbox (rank, seq)',
    'CREATE TABLE outbox_dropped (notifier TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID',
    'CREATE TABLE told (incident TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID',
  ],
  ['CREATE TABLE dependency (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID'],
  // JSON of `Spent`; NULL for nothing, as most tasks have it.
  ['ALTER TABLE task ADD COLUMN spent TEXT'],
]

export function userVersion(db: DatabaseSync): number {
  return Number(db.prepare('PRAGMA user_version').get()?.user_version ?? 0)
}

/** Brings a database to the newest version, each step in a transaction of its own with its number. */
export function migrate(db: DatabaseSync, list: readonly (readonly string[])[] = migrations): void {
  for (let version = userVersion(db); version < list.length; version += 1) {
    db.exec('BEGIN IMMEDIATE')
    try {
      for (const statement of list[version] ?? []) db.exec(statement)
      db.exec(`PRAGMA user_version = ${version + 1}`)
      db.exec('COMMIT')
    } catch (error) {
      db.exec('ROLLBACK')
      throw error
    }
  }
}
