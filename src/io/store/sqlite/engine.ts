import { statSync } from 'node:fs'
import { PrunellaError } from '../../../model/errors.ts'
import type { Failure, Method, Request } from './calls.ts'
import { type Connection, connect, makeFolder } from './connection.ts'
import { describe, isBroken, isEnvironment, storeFailed } from './failure.ts'
import { type Lock, Mark, takeLock } from './ownership.ts'
import { Session } from './session.ts'

const writes: ReadonlySet<Method> = new Set(['takeOver', 'submit', 'commit', 'retry', 'resolve', 'prune'])
/** How often the files are looked for: writes to an unlinked file succeed, and are gone with us. */
const watchPeriodMs = 1_000

/** The store, without threads: owns the files, turns requests into replies (JSON text of `Reply`). */
export class Engine {
  readonly #path: string
  readonly #open: (path: string) => Connection
  readonly #lock: Lock
  readonly #mark: Mark
  #session: Session
  /** The connection saw an error after which it must be checked before it writes again. */
  #broken = false
  #files: string
  #watchedMs = performance.now()

  /** @param open  Replaced by tests that need a bad disk. */
  constructor(path: string, open: (path: string) => Connection = connect) {
    this.#path = path
    this.#open = open
    let lock: Lock | null = null
    try {
      makeFolder(path)
      lock = takeLock(path)
      this.#lock = lock
      this.#session = new Session(open(path))
      this.#mark = Mark.create(path, this.#markValue(process.pid))
      this.#files = this.#identity()
    } catch (error) {
      lock?.release()
      throw storeFailed(path, error)
    }
  }

  /** All writes in one transaction, then the reads. One reply a request, in no particular order. */
  run(requests: readonly Request[]): string[] {
    const changing = requests.filter(([, method]) => writes.has(method))
    const replies = changing.length === 0 ? [] : this.#write(changing)
    for (const request of requests) {
      if (!writes.has(request[1])) replies.push(this.#read(request))
    }
    return replies
  }

  close(): void {
    const { db } = this.#session.connection
    if (db.isOpen) db.close()
    this.#mark.close(this.#markValue(0))
    this.#lock.release()
  }

  #write(requests: readonly Request[]): string[] {
    let answers: string[]
    try {
      this.#watch()
      if (this.#broken) this.#reconnect()
      answers = this.#session.transact(requests)
    } catch (error) {
      this.#broken ||= isBroken(error)
      // One request's own defect must not cost the others theirs.
      if (!isEnvironment(error) && requests.length > 1) return requests.flatMap((request) => this.#write([request]))
      return requests.map((request) => failed(request, storeFailed(this.#path, error)))
    }
    this.#note()
    return requests.map(([id], index) => `[${id},${answers[index]}]`)
  }

  #read(request: Request): string {
    try {
      return `[${request[0]},${this.#session.perform(request)}]`
    } catch (error) {
      this.#broken ||= isBroken(error)
      return failed(request, storeFailed(this.#path, error))
    }
  }

  #note(): void {
    try {
      this.#mark.write(this.#markValue(process.pid))
    } catch (error) {
      // The commit itself is durable, and an older mark only notices less. But this disk is not well.
      this.#broken ||= error instanceof Error
    }
  }

  #markValue(pid: number) {
    return { storeId: this.#session.connection.storeId, commits: this.#session.commits, pid }
  }

  /**
   * After an I/O error: what was acknowledged goes from the log, whose syncs succeeded, into the database; the
   * log is emptied, so that no frame of a refused transaction can come back; then everything is checked anew.
   * A failed sync is never just repeated: the kernel may have dropped the pages it could not write.
   */
  #reconnect(): void {
    const { db } = this.#session.connection
    if (db.isOpen) {
      const emptied = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()
      if (emptied?.busy !== 0) throw new Error('its write-ahead log could not be emptied, a reader holds it')
      db.close()
    }
    this.#session = new Session(this.#open(this.#path))
    this.#files = this.#identity()
    this.#broken = false
  }

  #watch(): void {
    if (performance.now() - this.#watchedMs < watchPeriodMs) return
    const seen = this.#identity()
    if (seen !== this.#files) {
      throw new PrunellaError(
        'PRUNELLA_STORE_FAILED',
        `The store ${this.#path} was deleted or replaced while in use: what is written now would be lost. ` +
          'Put its files back, or restart.',
      )
    }
    // Only a good look counts: after a bad one every write looks again.
    this.#watchedMs = performance.now()
  }

  /** Which files the path names now. */
  #identity(): string {
    return ['', '-wal']
      .map((suffix) => statSync(this.#path + suffix, { throwIfNoEntry: false }))
      .map((stat) => (stat === undefined ? 'gone' : `${stat.dev}:${stat.ino}`))
      .join()
  }
}

function failed([id]: Request, error: PrunellaError): string {
  return JSON.stringify([id, null, failureOf(error)])
}

export function failureOf(error: unknown): Failure {
  if (error instanceof PrunellaError) return { code: error.code, message: error.message }
  return { code: 'PRUNELLA_STORE_FAILED', message: `The store failed: ${describe(error)}` }
}
