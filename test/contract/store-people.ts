import { describe, expect, test } from 'vitest'
import type { NextState } from '../../src/model/change.ts'
import type { ResolveAnswer, Store } from '../../src/port/store.ts'
import {
  decide,
  doneNext,
  end,
  leaseOne,
  newIncident,
  newTask,
  queuedNext,
  started,
  startMs,
  stepDone,
} from './store-fixtures.ts'

const deadNext: NextState = { status: 'dead_letter', error: { name: 'E', message: 'm' }, reason: 'poison' }

/** What people ask for: retry, resolve, lists; and pruning. */
export function storePeople(store: () => Store): void {
  describe('retry', () => {
    test.each<{ name: string; next: NextState; outcome: string }>([
      { name: 'a dead letter', next: deadNext, outcome: 'queued' },
      {
        name: 'a failed task',
        next: { status: 'failed', error: { name: 'E', message: 'm' }, reason: 'r' },
        outcome: 'queued',
      },
      { name: 'a cancelled task', next: { status: 'cancelled', reason: 'r' }, outcome: 'queued' },
      { name: 'a task that is done', next: doneNext, outcome: 'not_final' },
      { name: 'a waiting task', next: queuedNext, outcome: 'not_final' },
    ])('$name: $outcome', async ({ next, outcome }) => {
      await store().submit([newTask('a')], 10)
      await decide(store(), [end(await leaseOne(store()), { next })])
      expect(await store().retry('a', undefined, startMs + 10)).toBe(outcome)
      expect(await store().retry('nobody', undefined, startMs)).toBe('not_found')
    })

    test('starts anew under a higher fence, with the input edited, and keeps what happened', async () => {
      await store().submit([newTask('a', { deadlineMs: startMs + 10 })], 10)
      const first = await leaseOne(store())
      await decide(
        store(),
        [stepDone(first, 's')],
        [end(first, { outcome: 'crashed', lostReplica: 'p/0', next: deadNext })],
      )
      await store().retry('a', { edited: true }, startMs + 10)
      expect(await store().task('a')).toMatchObject({
        status: 'queued',
        input: { edited: true },
        deadlineMs: null,
        finishedMs: null,
        error: null,
        reason: null,
        steps: [],
        attempts: [{ attempt: 1, outcome: 'crashed' }],
      })
      const again = await leaseOne(store(), { idle: false })
      expect(again).toMatchObject({ attempt: 1, countedAttempts: 0, lostReplicas: [], journal: [], previous: null })
      expect(again.fence).toBeGreaterThan(first.fence)
      expect(await decide(store(), [stepDone(again, 's', { result: 'new' })])).toEqual(['applied'])
    })

    test('without an input keeps the old one, with null takes null; a deadline ahead stays', async () => {
      await store().submit([newTask('a', { deadlineMs: startMs + 11 })], 10)
      await decide(store(), [end(await leaseOne(store()), { next: deadNext })])
      await store().retry('a', undefined, startMs + 10)
      expect(await store().task('a')).toMatchObject({ input: { of: 'a' }, deadlineMs: startMs + 11 })
      await decide(store(), [end(await leaseOne(store()), { next: deadNext })])
      await store().retry('a', null, startMs + 10)
      expect(await store().task('a')).toMatchObject({ input: null })
    })
  })

  describe('resolve', () => {
    const hold = async (inDoubt: boolean): Promise<void> => {
      await store().submit([newTask('a')], 10)
      const lease = await leaseOne(store())
      await decide(store(), [stepDone(lease, 'before')])
      if (inDoubt) await decide(store(), [started(lease, 'pay', { repeat: 'ask_human' })])
      await decide(store(), [end(lease, { outcome: 'crashed', next: { status: 'held', reason: 'in doubt' } })])
    }
    test.each<{ name: string; inDoubt: boolean; answer: ResolveAnswer; outcome: string; steps: readonly string[] }>([
      {
        name: 'a result',
        inDoubt: true,
        answer: { kind: 'result', result: 'paid' },
        outcome: 'queued',
        steps: ['before done', 'pay done'],
      },
      { name: 'repeat', inDoubt: true, answer: { kind: 'repeat' }, outcome: 'queued', steps: ['before done'] },
      {
        name: 'fail',
        inDoubt: true,
        answer: { kind: 'fail', reason: 'no' },
        outcome: 'failed',
        steps: ['before done', 'pay started'],
      },
      {
        name: 'repeat, nothing in doubt',
        inDoubt: false,
        answer: { kind: 'repeat' },
        outcome: 'queued',
        steps: ['before done'],
      },
      {
        name: 'a result nobody asked for',
        inDoubt: false,
        answer: { kind: 'result', result: 1 },
        outcome: 'not_held',
        steps: ['before done'],
      },
    ])('$name', async ({ inDoubt, answer, outcome, steps }) => {
      await hold(inDoubt)
      expect(await store().resolve('a', answer, startMs + 20)).toBe(outcome)
      const task = await store().task('a')
      expect(task?.status).toBe(outcome === 'not_held' ? 'held' : outcome)
      expect(task?.steps.map(({ name, state }) => `${name} ${state}`)).toEqual(steps)
      if (outcome === 'failed')
        expect(task).toMatchObject({ reason: 'no', error: { message: 'no' }, finishedMs: startMs + 20 })
      if (outcome === 'queued') {
        const lease = await leaseOne(store())
        expect(lease.journal.map(({ name }) => name)).toEqual(steps.map((step) => step.split(' ')[0]))
        expect(await decide(store(), [stepDone(lease, 'pay', { result: 'paid' })])).toEqual(['applied'])
      }
    })

    test('only a held task can be answered', async () => {
      await store().submit([newTask('a')], 10)
      expect(await store().resolve('a', { kind: 'repeat' }, startMs)).toBe('not_held')
      expect(await store().resolve('nobody', { kind: 'repeat' }, startMs)).toBe('not_found')
    })
  })

  describe('lists', () => {
    test('are newest first, filtered, paged, and spare steps and large outputs', async () => {
      await store().submit([newTask('a'), newTask('b', { pool: 'q' }), newTask('c'), newTask('d'), newTask('e')], 10)
      for (const output of ['x'.repeat(4_094), 'x'.repeat(4_095)]) {
        const lease = await leaseOne(store())
        await decide(store(), [stepDone(lease, 's')], [end(lease, { next: { status: 'done', output } })])
      }
      await decide(store(), [end(await leaseOne(store()), { next: { status: 'held', reason: 'r' } })])
      const ids = async (query: object) => (await store().tasks({ limit: 10, ...query })).rows.map(({ id }) => id)
      expect(await ids({})).toEqual(['e', 'd', 'c', 'b', 'a'])
      expect(await ids({ pool: 'q' })).toEqual(['b'])
      expect(await ids({ status: 'done' })).toEqual(['c', 'a'])
      expect(await ids({ status: 'held', pool: 'p' })).toEqual(['d'])
      expect(await ids({ status: 'queued', pool: 'p' })).toEqual(['e'])
      const done = (await store().tasks({ status: 'done', limit: 10 })).rows
      expect(done.map(({ output, steps }) => [output === null, steps])).toEqual([
        [true, []],
        [false, []],
      ])
      const first = await store().tasks({ pool: 'p', limit: 3 })
      const second = await store().tasks({ pool: 'p', limit: 3, cursor: first.cursor ?? '' })
      expect([...first.rows, ...second.rows].map(({ id }) => id)).toEqual(['e', 'd', 'c', 'a'])
      expect(second.cursor).toBeNull()
    })

    test.each([
      { nowMs: startMs + 9, limit: 9, ids: [] },
      { nowMs: startMs + 10, limit: 9, ids: ['b', 'a', 's'] },
      { nowMs: startMs + 10, limit: 2, ids: ['b', 'a'] },
    ])('overdue at $nowMs, at most $limit', async ({ nowMs, limit, ids }) => {
      const at = (id: string, ms: number, more = {}) => newTask(id, { deadlineMs: startMs + ms, ...more })
      await store().submit([at('done', 1), at('leased', 1)], 10)
      await decide(store(), [end(await leaseOne(store()))])
      await leaseOne(store())
      const scheduled = at('s', 10, { notBeforeMs: startMs + 99 })
      await store().submit([scheduled, newTask('never'), at('late', 11), at('a', 9.75), at('b', 9.5)], 10)
      expect(await store().overdue(nowMs, limit)).toEqual(ids)
    })
  })

  test('prune deletes what finished first, beyond what is kept, with its steps; never what waits', async () => {
    await store().submit(
      ['a', 'b', 'c', 'd'].map((id) => newTask(id, { idempotencyKey: id })),
      10,
    )
    const leases = []
    for (let index = 0; index < 3; index += 1) leases.push(await leaseOne(store()))
    // Finished in the order c, b, a.
    for (const [index, lease] of leases.reverse().entries()) {
      await decide(store(), [stepDone(lease, 's')], [end(lease, { atMs: startMs + index })])
    }
    await decide(
      store(),
      ...['i1', 'i2', 'i3'].map((id) => [
        { kind: 'incident', incident: newIncident(id, { status: 'closed' }) } as const,
      ]),
      [{ kind: 'incident', incident: newIncident('open') }],
    )
    expect(await store().prune({ finishedTasks: 1, closedIncidents: 2 })).toBe(3)
    expect(await Promise.all(['a', 'b', 'c', 'd'].map(async (id) => (await store().task(id))?.status))).toEqual([
      'done',
      undefined,
      undefined,
      'queued',
    ])
    expect((await store().incidents({ limit: 9 })).rows.map(({ id }) => id)).toEqual(['open', 'i3', 'i2'])
    expect(await store().prune({ finishedTasks: 1, closedIncidents: 2 })).toBe(0)
    // The key of a pruned task is free again, and nothing of the old one shines through.
    expect(await store().submit([newTask('b', { idempotencyKey: 'b' })], 10)).toMatchObject([{ kind: 'created' }])
    expect(await store().task('b')).toMatchObject({ steps: [], attempts: [] })
  })
}
