import { once } from 'node:events'
import { resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { PrunellaError } from '../../../model/errors.ts'
import { limits } from '../../../model/limits.ts'
import type { Store } from '../../../port/store.ts'
import type { Calls, Method, Opened, Reply, WorkerOptions } from './calls.ts'

export interface SqliteStoreOptions {
  /** The database file. Beside it stand its log and the files `.lock` and `.mark`. */
  readonly path: string
}

/**
 * Opens the embedded store in a thread of its own, and makes it where there is none.
 *
 * @throws PRUNELLA_STORE_LOCKED when another process has it, PRUNELLA_STORE_DAMAGED when it cannot be trusted,
 *   PRUNELLA_STORE_FAILED when the disk refuses.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const path = resolve(options.path)
  // URLs are not rewritten by the compiler: the worker has the same extension as this file.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const workerData: WorkerOptions = { path }
  const worker = new Worker(new URL(`./worker.${extension}`, import.meta.url), { workerData, name: 'prunella-store' })
  const [outcome] = (await once(worker, 'message')) as [Opened]
  if (!outcome.opened) {
    await worker.terminate()
    throw new PrunellaError(outcome.failure.code, outcome.failure.message)
  }
  return storeOf(new Client(worker, path))
}

/** Sends calls to the worker, all those of one turn in one message, and hands out the answers. */
class Client {
  readonly #worker: Worker
  readonly #path: string
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  readonly #ended: Promise<unknown>
  #outgoing: unknown[] = []
  #lastId = 0
  #closed: string | null = null

  constructor(worker: Worker, path: string) {
    this.#worker = worker
    this.#path = path
    this.#ended = new Promise((done) => worker.once('exit', done))
    worker.on('message', (text: string) => this.#settle(JSON.parse(text) as Reply[]))
    worker.on('error', (error) => this.#end(`its thread failed: ${error.message}`))
    worker.on('exit', () => this.#end('it was closed'))
  }

  call<M extends Method, Value>(method: M, ...args: Calls[M]): Promise<Value> {
    return new Promise<Value>((resolve, reject) => {
      if (this.#closed !== null) return reject(this.#failure(this.#closed))
      if (this.#waiting.size >= limits.storeBacklog)
        return reject(this.#failure(`${limits.storeBacklog} calls wait for it`))
      this.#lastId += 1
      this.#waiting.set(this.#lastId, { resolve: (value) => resolve(value as Value), reject })
      this.#outgoing.push([this.#lastId, method, ...args])
      if (this.#outgoing.length === 1) queueMicrotask(() => this.#flush())
    })
  }

  async close(): Promise<void> {
    if (this.#closed === null) {
      this.#flush()
      this.#closed = 'it was closed'
      this.#worker.postMessage(null)
    }
    await this.#ended
  }

  #flush(): void {
    if (this.#outgoing.length === 0) return
    const requests = this.#outgoing
    this.#outgoing = []
    this.#worker.postMessage(JSON.stringify(requests))
  }

  #settle(replies: readonly Reply[]): void {
    for (const [id, value, failure] of replies) {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (failure === undefined) waiting?.resolve(value)
      else waiting?.reject(new PrunellaError(failure.code, failure.message))
    }
  }

  #end(why: string): void {
    this.#closed ??= why
    for (const { reject } of this.#waiting.values()) reject(this.#failure(this.#closed))
    this.#waiting.clear()
  }

  #failure(why: string): PrunellaError {
    return new PrunellaError('PRUNELLA_STORE_FAILED', `The store ${this.#path} did not answer: ${why}.`)
  }
}

function storeOf(client: Client): Store {
  return {
    takeOver: (nowMs) => client.call('takeOver', nowMs),
    submit: (tasks, queueLimit) => client.call('submit', tasks, queueLimit),
    commit: (batch) => client.call('commit', batch),
    retry: (taskId, input, nowMs) => client.call('retry', taskId, input === undefined ? [] : [input], nowMs),
    resolve: (taskId, answer, nowMs) => client.call('resolve', taskId, answer, nowMs),
    task: (taskId) => client.call('task', taskId),
    tasks: (query) => client.call('tasks', query),
    overdue: (nowMs, limit) => client.call('overdue', nowMs, limit),
    incident: (id) => client.call('incident', id),
    incidents: (query) => client.call('incidents', query),
    audit: (limit) => client.call('audit', limit),
    outbox: (notifier, limit) => client.call('outbox', notifier, limit),
    depths: () => client.call('depths'),
    prune: (keep) => client.call('prune', keep),
    close: () => client.close(),
  }
}
