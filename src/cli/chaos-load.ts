import type { Json } from '../model/json.ts'
import { isOver } from './chaos-score.ts'
import type { Client } from './client.ts'
import type { WireTask } from './wire.ts'

/** Tasks for injected faults: submitted under keys of their own, and followed to their end. */
export class Load {
  readonly #client: Client
  readonly #pool: string
  readonly #input: Json
  readonly #prefix: string
  readonly #tasks = new Map<string, WireTask>()
  #count = 0

  /** @param prefix  Unique for this run: under a known key the first task would come back. */
  constructor(client: Client, pool: string, input: Json, prefix: string) {
    this.#client = client
    this.#pool = pool
    this.#input = input
    this.#prefix = prefix
  }

  get tasks(): readonly WireTask[] {
    return [...this.#tasks.values()]
  }

  get isSettled(): boolean {
    return this.tasks.every(isOver)
  }

  /** The next fault: what has ended belonged to the one before. */
  begin(): void {
    for (const [id, task] of this.#tasks) if (isOver(task)) this.#tasks.delete(id)
  }

  /** Brings the number of those under way to `wanted`. */
  async fill(wanted: number): Promise<void> {
    const missing = wanted - this.tasks.filter((task) => !isOver(task)).length
    if (missing <= 0) return
    const tasks = Array.from({ length: missing }, () => ({
      input: this.#input,
      idempotencyKey: `${this.#prefix}.${++this.#count}`,
    }))
    const submitted = await this.#client.post<readonly { readonly id: string }[]>(
      `/api/v1/pools/${this.#pool}/tasks`,
      tasks,
    )
    const created = await Promise.all(submitted.map(({ id }) => this.#read(id)))
    for (const task of created) this.#tasks.set(task.id, task)
  }

  /** How they are now. */
  async look(): Promise<void> {
    const open = this.tasks.filter((task) => !isOver(task))
    for (const task of await Promise.all(open.map(({ id }) => this.#read(id)))) this.#tasks.set(task.id, task)
  }

  #read(id: string): Promise<WireTask> {
    return this.#client.get<WireTask>(`/api/v1/tasks/${id}`)
  }
}
