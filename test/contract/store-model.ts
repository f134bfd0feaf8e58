import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Change } from '../../src/model/change.ts'
import type { Json } from '../../src/model/json.ts'
import { isFinal, type TaskStatus } from '../../src/model/task.ts'
import type { Store } from '../../src/port/store.ts'
import {
  doneNext,
  end,
  newBatch,
  newClaim,
  newTask,
  queuedNext,
  type StoreHarness,
  startMs,
  stepDone,
} from './store-fixtures.ts'

/** What the contract says about a task, as simply as it can be said. */
interface Expected {
  readonly id: string
  readonly priority: number
  status: TaskStatus
  fence: number
  counted: number
  losses: number
  steps: Map<string, Json>
}

const takeOvers = Array.from({ length: 4 }, () => ({ kind: 'take_over' as const }))
const op = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('submit' as const), priority: fc.integer({ min: -1, max: 1 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('claim' as const),
      count: fc.integer({ min: 0, max: 3 }),
      idle: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('end' as const),
      task: fc.nat(9),
      fence: fc.integer({ min: -1, max: 0 }),
      next: fc.constantFrom('done', 'queued', 'lost', 'held', 'dead_letter'),
      /** Decided together with a write that is refused. */
      spoiled: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('revoke' as const),
      task: fc.nat(9),
      fence: fc.integer({ min: -1, max: 0 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('step' as const),
      task: fc.nat(9),
      fence: fc.integer({ min: -1, max: 0 }),
      key: fc.nat(2),
      result: fc.nat(1),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('cancel' as const, 'retry' as const, 'resolve' as const),
      task: fc.nat(9),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom(...takeOvers, { kind: 'reopen' as const }) },
)
type Op = typeof op extends fc.Arbitrary<infer Value> ? Value : never

/** Random histories against the model: outcomes agree at each step, and every task at the end. */
export function storeModel(harness: () => StoreHarness): void {
  test('any history of submit, claim, end, revoke, steps, retry, cancel, resolve, take-over, reopening', {
    timeout: 120_000,
  }, async () => {
    let pools = 0
    let { store } = harness()
    await fc.assert(
      fc.asyncProperty(fc.array(op, { minLength: 5, maxLength: 40, size: 'max' }), async (ops) => {
        pools += 1
        const run = new Run(`p${pools}`, store)
        for (const each of ops) {
          const { reopen } = harness()
          if (each.kind !== 'reopen') await run.step(each)
          else if (reopen !== null) run.store = store = await reopen()
        }
        await run.compare()
      }),
      { numRuns: harness().histories },
    )
  })
}

class Run {
  store: Store
  readonly #pool: string
  readonly #tasks: Expected[] = []

  constructor(pool: string, store: Store) {
    this.#pool = pool
    this.store = store
  }

  async step(each: Exclude<Op, { kind: 'reopen' }>): Promise<void> {
    if (each.kind === 'submit') return this.#submit(each.priority)
    if (each.kind === 'claim') return this.#claim(each.count, each.idle)
    if (each.kind === 'take_over') return this.#takeOver()
    const task = this.#tasks[each.task % Math.max(1, this.#tasks.length)]
    if (task === undefined) return
    switch (each.kind) {
      case 'end':
        return this.#end(task, task.fence + each.fence, each.next, each.spoiled)
      case 'revoke':
        return this.#revoke(task, task.fence + each.fence)
      case 'step':
        return this.#journal(task, task.fence + each.fence, `${each.key}`, each.result)
      case 'cancel': {
        const next = { status: 'cancelled', reason: 'r' } as const
        const waiting = ['queued', 'scheduled', 'held'].includes(task.status)
        await this.#decide(
          [{ kind: 'finish_waiting', taskId: task.id, atMs: startMs, next }],
          waiting ? 'applied' : 'conflict',
        )
        if (waiting) task.status = 'cancelled'
        return
      }
      case 'retry': {
        const again = isFinal(task.status) && task.status !== 'done'
        expect(await this.store.retry(task.id, undefined, startMs)).toBe(again ? 'queued' : 'not_final')
        if (again)
          Object.assign(task, { status: 'queued', fence: task.fence + 1, counted: 0, losses: 0, steps: new Map() })
        return
      }
      case 'resolve': {
        const held = task.status === 'held'
        expect(await this.store.resolve(task.id, { kind: 'repeat' }, startMs)).toBe(held ? 'queued' : 'not_held')
        if (held) task.status = 'queued'
      }
    }
  }

  async compare(): Promise<void> {
    const count = (...wanted: TaskStatus[]) => this.#tasks.filter(({ status }) => wanted.includes(status)).length
    const depth = { queued: count('queued'), held: count('held'), leased: count('leased', 'returning'), scheduled: 0 }
    const suspects = this.#tasks.filter(({ status, losses }) => status === 'queued' && losses > 0).length
    const depths = (await this.store.depths())[this.#pool]
    if (depth.queued + depth.held + depth.leased > 0) expect(depths).toMatchObject({ ...depth, suspects })
    else expect(depths).toBeUndefined()
    for (const { id, status, fence, counted, steps } of this.#tasks) {
      const task = await this.store.task(id)
      expect(task).toMatchObject({ id, status, fence, countedAttempts: counted })
      expect(task?.lease === null).toBe(!['leased', 'returning'].includes(status))
      expect(new Map(task?.steps.map((step) => [step.key, step.state === 'done' ? step.result : null]))).toEqual(steps)
    }
  }

  async #takeOver(): Promise<void> {
    await this.store.takeOver(startMs)
    for (const task of this.#tasks) {
      if (!this.#owned(task)) continue
      task.status = 'returning'
      task.fence += 2
    }
  }

  async #submit(priority: number): Promise<void> {
    const id = `${this.#pool}-${this.#tasks.length}`
    const [outcome] = await this.store.submit([newTask(id, { pool: this.#pool, priority })], 1_000)
    expect(outcome).toEqual({ kind: 'created', id, status: 'queued' })
    this.#tasks.push({ id, priority, status: 'queued', fence: 0, counted: 0, losses: 0, steps: new Map() })
  }

  async #claim(count: number, idle: boolean): Promise<void> {
    const waiting = this.#tasks.filter(({ status }) => status === 'queued').sort((a, b) => b.priority - a.priority)
    const alone = idle && (waiting[0]?.losses ?? 0) > 0
    const expected = alone
      ? waiting.slice(0, Math.min(count, 1))
      : waiting.filter(({ losses }) => losses === 0).slice(0, count)
    const claim = newClaim({ pool: this.#pool, replica: `${this.#pool}/0`, count, idle })
    const { leases } = await this.store.commit(newBatch({ claims: [claim] }))
    for (const task of expected) {
      task.status = 'leased'
      task.fence += 1
    }
    expect(leases[0]?.map(({ taskId, fence, journal }) => [taskId, fence, journal.length])).toEqual(
      expected.map(({ id, fence, steps }) => [id, fence, steps.size]),
    )
  }

  async #end(task: Expected, fence: number, next: string, spoiled: boolean): Promise<void> {
    const applied = fence === task.fence && this.#owned(task)
    const lost = next === 'lost'
    const states = {
      done: doneNext,
      held: { status: 'held', reason: 'r' },
      dead_letter: { status: 'dead_letter', error: null, reason: 'r' },
    } as const
    const nextState = next === 'done' || next === 'held' || next === 'dead_letter' ? states[next] : queuedNext
    const changes: Change[] = [
      end({ taskId: task.id, fence }, { lostReplica: lost ? `${this.#pool}/0` : null, next: nextState }),
    ]
    if (spoiled) changes.push({ kind: 'revoke', taskId: 'nobody', fence: 1 })
    await this.#decide(changes, applied ? (spoiled ? 'conflict' : 'applied') : 'stale')
    if (!applied || spoiled) return
    task.status = nextState.status
    task.counted += 1
    task.losses += lost ? 1 : 0
    if (!isFinal(task.status)) task.fence += 1
  }

  async #revoke(task: Expected, fence: number): Promise<void> {
    const current = fence === task.fence && this.#owned(task)
    const applied = current && task.status === 'leased'
    await this.#decide(
      [{ kind: 'revoke', taskId: task.id, fence }],
      applied ? 'applied' : current ? 'conflict' : 'stale',
    )
    if (!applied) return
    task.status = 'returning'
    task.fence += 1
  }

  async #journal(task: Expected, fence: number, key: string, result: number): Promise<void> {
    const current = fence === task.fence && this.#owned(task)
    const kept = task.steps.get(key) ?? result
    await this.#decide(
      [stepDone({ taskId: task.id, fence }, 's', { key, result })],
      !current ? 'stale' : kept === result ? 'applied' : 'conflict',
    )
    if (current) task.steps.set(key, kept)
  }

  async #decide(changes: Change[], outcome: string): Promise<void> {
    expect((await this.store.commit(newBatch({ decisions: [changes] }))).outcomes).toEqual([outcome])
  }

  #owned({ status }: Expected): boolean {
    return status === 'leased' || status === 'returning'
  }
}
