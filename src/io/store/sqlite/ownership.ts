/**
 * One process owns a store. The lock is an exclusive transaction on a second
 * file, so the operating system releases it however we end.
 *
 * Closing any file descriptor of a file drops all POSIX locks that this
 * process has on it: nobody may read a store's files by hand before he owns it.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { PrunellaError } from '../../../model/errors.ts'
import { busyCode, sqliteCode } from './failure.ts'

export interface Lock {
  release(): void
}

/** @throws PRUNELLA_STORE_LOCKED at once when somebody has the store, naming it and, where known, its owner. */
export function takeLock(path: string): Lock {
  const lockPath = `${path}.lock`
  // Made by us so that only we may open it; SQLite would obey the umask.
  closeSync(openSync(lockPath, 'a', 0o600))
  const db = new DatabaseSync(lockPath, { timeout: 0 })
  try {
    db.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    db.close()
    if (sqliteCode(error) !== busyCode) throw error
    const pid = readMark(path)?.pid ?? 0
    const owner = pid === 0 ? 'another process' : pid === process.pid ? `this process (${pid})` : `process ${pid}`
    throw new PrunellaError(
      'PRUNELLA_STORE_LOCKED',
      `The store ${path} is in use by ${owner}. Stop that one first, or give this one a store of its own.`,
      { cause: error },
    )
  }
  return { release: () => db.close() }
}

export interface MarkValue {
  readonly storeId: string
  /** Transactions acknowledged at least. */
  readonly commits: number
  /** The owner, 0 when nobody is. */
  readonly pid: number
}

/**
 * A note beside the database of how far it had come. It is written after each
 * commit's sync and itself not synced: so it is never ahead of an honest
 * database, and a database behind it has lost what was acknowledged.
 */
export class Mark {
  readonly #file: number

  constructor(path: string) {
    this.#file = openSync(`${path}.mark`, 'r+')
  }

  /** Makes it, or keeps what is there. */
  static create(path: string, value: MarkValue): Mark {
    closeSync(openSync(`${path}.mark`, 'a', 0o600))
    const mark = new Mark(path)
    mark.write(value)
    fsyncSync(mark.#file)
    return mark
  }

  write({ storeId, commits, pid }: MarkValue): void {
    // Always as long as before, so that no part of an older note shows behind it.
    writeSync(this.#file, `${storeId} ${commits} ${pid}`.padEnd(79).concat('\n'), 0)
  }

  close(last: MarkValue): void {
    this.write(last)
    fsyncSync(this.#file)
    closeSync(this.#file)
  }
}

/** What the mark says, or null when there is none or a power cut left it unreadable. */
export function readMark(path: string): MarkValue | null {
  // None: a new store, or one whose owner deleted it to accept an older copy.
  if (!existsSync(`${path}.mark`)) return null
  const [storeId, commits, pid] = readFileSync(`${path}.mark`, 'utf8').trim().split(' ')
  if (!storeId || !/^\d+$/.test(commits ?? '') || !/^\d+$/.test(pid ?? '')) return null
  return { storeId, commits: Number(commits), pid: Number(pid) }
}
