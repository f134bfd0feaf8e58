/** Opens the database, after everything about it was checked that SQLite would pass over in silence. */
import { randomUUID } from 'node:crypto'
import { closeSync, fsyncSync, lstatSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { PrunellaError } from '../../../model/errors.ts'
import { describe, isDamage, storeDamaged } from './failure.ts'
import { readMark } from './ownership.ts'
import { applicationId, migrate, migrations, userVersion } from './schema.ts'
import { walDamage } from './wal.ts'

/** How long a foreign writer (a backup, a curious `sqlite3`) may hold up a transaction. */
const busyTimeoutMs = 2_000
/** Pages of the log before it is copied back: 16 MiB. Larger is hardly faster, and is read at each start. */
const checkpointPages = 4_000
/** Pages kept in memory: the rows and indexes of a busy queue, KiB. */
const cacheKib = 16_384

export interface Connection {
  readonly db: DatabaseSync
  readonly storeId: string
  /** Transactions that changed something, since the store was made. */
  readonly commits: number
}

/**
 * The caller owns the lock.
 *
 * @throws PRUNELLA_STORE_DAMAGED
 */
export function connect(path: string): Connection {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) create(path)
  checkFiles(path)
  try {
    inspect(path)
    const db = new DatabaseSync(path, { timeout: busyTimeoutMs })
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
      PRAGMA cache_size = -${cacheKib}; PRAGMA wal_autocheckpoint = ${checkpointPages}`)
    migrate(db)
    return { db, ...identity(db) }
  } catch (error) {
    throw isDamage(error) ? storeDamaged(path, describe(error)) : error
  }
}

/** Looks without writing: closing any other connection would empty the log, and with it the evidence. */
function inspect(path: string): void {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    checkVersion(path, db)
    const [check] = db.prepare('PRAGMA quick_check(1)').all()
    const result = String(Object.values(check ?? {})[0])
    if (result !== 'ok') throw storeDamaged(path, `its check says "${result}"`)
    checkMark(path, identity(db))
  } finally {
    db.close()
  }
}

function identity(db: DatabaseSync): Omit<Connection, 'db'> {
  const meta = db.prepare('SELECT store_id, commits FROM meta').get()
  return { storeId: String(meta?.store_id), commits: Number(meta?.commits) }
}

/** Counts a transaction, in the transaction. */
export function commitCounter(db: DatabaseSync): StatementSync {
  return db.prepare('UPDATE meta SET commits = ?')
}

/** Made under another name: a crash in between leaves no file that looks like a damaged store. */
function create(path: string): void {
  const mark = readMark(path)
  if (mark !== null) throw storeDamaged(path, `the file is gone, after ${mark.commits} transactions`)
  if ((statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0) {
    throw storeDamaged(path, 'the file is gone, its write-ahead log is still there')
  }
  const draft = `${path}.new`
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(draft + suffix, { force: true })
  closeSync(openSync(draft, 'wx', 0o600))
  const db = new DatabaseSync(draft)
  try {
    db.exec(`PRAGMA application_id = ${applicationId}`)
    migrate(db)
    db.prepare('INSERT INTO meta (id, store_id, commits) VALUES (1, ?, 0)').run(randomUUID())
  } finally {
    db.close()
  }
  sync(draft)
  renameSync(draft, path)
  sync(dirname(path))
}

/** Makes the store's folder where it is missing: others may pass (replicas work below it), not look. */
export function makeFolder(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 })
}

function sync(path: string): void {
  const file = openSync(path, 'r')
  fsyncSync(file)
  closeSync(file)
}

function checkFiles(path: string): void {
  const stat = lstatSync(path)
  if (!stat.isFile()) throw storeDamaged(path, 'it is not a regular file')
  if (stat.size === 0) throw storeDamaged(path, 'the file is empty')
  const header = Buffer.alloc(100)
  const file = openSync(path, 'r')
  readSync(file, header, 0, header.length, 0)
  closeSync(file)
  if (header.toString('latin1', 0, 16) !== 'SQLite format 3\0') throw storeDamaged(path, 'it is not an SQLite database')
  const id = header.readUInt32BE(68)
  if (id !== applicationId) {
    throw storeDamaged(path, `it belongs to another program (application id ${id}, ours is ${applicationId})`)
  }
  const damage = walDamage(`${path}-wal`)
  if (damage !== null) throw storeDamaged(path, damage)
}

function checkMark(path: string, { storeId, commits }: Omit<Connection, 'db'>): void {
  if (!Number.isSafeInteger(commits)) throw storeDamaged(path, 'the row that names it is missing')
  const mark = readMark(path)
  if (mark === null) return
  const wayOut = `if this copy is meant to be used, delete ${path}.mark`
  if (mark.storeId !== storeId) throw storeDamaged(path, `another store's file stands in its place; ${wayOut}`)
  if (mark.commits > commits) {
    const lost = mark.commits - commits
    throw storeDamaged(path, `its last ${lost} acknowledged transactions are missing; ${wayOut}`)
  }
}

/** @throws PRUNELLA_STORE_DAMAGED when a newer Prunella made it: it may not even be read. */
function checkVersion(path: string, db: DatabaseSync): void {
  const version = userVersion(db)
  if (version <= migrations.length) return
  throw new PrunellaError(
    'PRUNELLA_STORE_DAMAGED',
    `The store ${path} was made by a newer Prunella (schema ${version}, this one knows ${migrations.length}). ` +
      'Upgrade Prunella, or give this one a store of its own.',
  )
}
