import { describe, expect, test } from 'vitest'
import { nothingSpent } from '../../src/model/spent.ts'
import type { Store } from '../../src/port/store.ts'
import {
  claimedIds,
  decide,
  end,
  leaseOne,
  newBatch,
  newClaim,
  newTask,
  queuedNext,
  startMs,
} from './store-fixtures.ts'

const lostOnce = { outcome: 'crashed', lostReplica: 'p/9', next: queuedNext } as const

/** Submit, claim, depths. */
export function storeQueue(store: () => Store): void {
  describe('submit', () => {
    test('answers each task in order, and each can be read back whole', async () => {
      const input = { text: 'ü "quoted" \\ \u0000 \u2028', deep: [[[{ a: null }]]], big: 2 ** 53, __proto__x: [] }
      const outcomes = await store().submit(
        [newTask('a', { input, needs: ['db'] }), newTask('b', { priority: -7 })],
        10,
      )
      expect(outcomes.map((outcome) => outcome.kind === 'created' && outcome.id)).toEqual(['a', 'b'])
      expect(await store().task('a')).toEqual({
        id: 'a',
        pool: 'p',
        status: 'queued',
        input,
        priority: 0,
        idempotencyKey: null,
        needs: ['db'],
        submittedMs: startMs,
        notBeforeMs: null,
        deadlineMs: null,
        finishedMs: null,
        fence: 0,
        lease: null,
        attempts: [],
        countedAttempts: 0,
        output: null,
        error: null,
        reason: null,
        spent: nothingSpent,
        steps: [],
      })
      expect(await store().task('b')).toMatchObject({ priority: -7 })
      expect(await store().task('nobody')).toBeNull()
    })

    test.each([null, false, 0, '', 'text', [], {}, [null]])('the payload %j comes back as it was', async (payload) => {
      await store().submit([newTask('a', { input: payload })], 10)
      const lease = await leaseOne(store())
      expect(lease.input).toEqual(payload)
      await decide(store(), [end(lease, { next: { status: 'done', output: payload } })])
      expect(await store().task('a')).toMatchObject({ status: 'done', input: payload, output: payload })
    })

    test('the same key in the same pool is the same task, in one call and in the next', async () => {
      const key = { idempotencyKey: 'k' }
      const both = await store().submit([newTask('a', key), newTask('b', key)], 10)
      expect(both[1]).toEqual({ kind: 'existing', id: 'a', status: 'queued' })
      await leaseOne(store())
      const later = await store().submit([newTask('c', key), newTask('d', { ...key, pool: 'q' })], 10)
      expect(later).toEqual([
        { kind: 'existing', id: 'a', status: 'leased' },
        { kind: 'created', id: 'd', status: 'queued' },
      ])
      expect(await store().task('b')).toBeNull()
    })

    test('the same id again is the first task: its submitter could not know that it had arrived', async () => {
      await store().submit([newTask('a', { input: 1 })], 10)
      expect(await store().submit([newTask('a', { input: 2 })], 10)).toMatchObject([{ kind: 'existing', id: 'a' }])
      expect(await store().task('a')).toMatchObject({ input: 1 })
      expect(await store().depths()).toMatchObject({ p: { queued: 1 } })
    })

    test('a full queue refuses, in the middle of a call; what is leased does not count', async () => {
      const tasks = [newTask('a'), newTask('b', { notBeforeMs: startMs + 1 }), newTask('c')]
      expect((await store().submit(tasks, 2)).map(({ kind }) => kind)).toEqual(['created', 'created', 'refused'])
      expect(await store().task('c')).toBeNull()
      await leaseOne(store())
      expect((await store().submit([newTask('c'), newTask('d')], 2)).map(({ kind }) => kind)).toEqual([
        'created',
        'refused',
      ])
    })
  })

  describe('claim', () => {
    test('gives the highest priority first, then the oldest, of its own pool', async () => {
      const tasks = [
        newTask('low', { priority: -1 }),
        newTask('old'),
        newTask('young'),
        newTask('top', { priority: 5 }),
      ]
      await store().submit([newTask('other', { pool: 'q' }), ...tasks], 10)
      expect(await claimedIds(store(), { count: 3 })).toEqual(['top', 'old', 'young'])
      expect(await claimedIds(store(), { count: 3 })).toEqual(['low'])
      expect(await claimedIds(store(), { count: 3 })).toEqual([])
    })

    test('a lease carries all that its replica needs, and its task is under it', async () => {
      await store().submit([newTask('a', { priority: 3, deadlineMs: startMs + 9, needs: ['db'] })], 10)
      const lease = await leaseOne(store(), { replica: 'p/4', incarnation: 7 })
      expect(lease).toEqual({
        taskId: 'a',
        pool: 'p',
        replica: 'p/4',
        incarnation: 7,
        fence: 1,
        attempt: 1,
        countedAttempts: 0,
        lostReplicas: [],
        input: { of: 'a' },
        priority: 3,
        deadlineMs: startMs + 9,
        needs: ['db'],
        spent: nothingSpent,
        journal: [],
        previous: null,
      })
      const under = { replica: 'p/4', incarnation: 7, sinceMs: startMs }
      expect(await store().task('a')).toMatchObject({ status: 'leased', fence: 1, lease: under })
    })

    test('several claims of one batch are served in order, and see its decisions', async () => {
      await store().submit([newTask('a'), newTask('b'), newTask('c')], 10)
      const a = await leaseOne(store())
      const decisions = [[end(a, { next: queuedNext, outcome: 'returned', counted: false })]]
      const claims = [
        newClaim({ count: 2, replica: 'p/1' }),
        newClaim({ count: 0 }),
        newClaim({ count: 2, replica: 'p/2' }),
      ]
      const { leases } = await store().commit(newBatch({ decisions, claims }))
      expect(leases.map((list) => list.map(({ taskId, replica }) => `${taskId} ${replica}`))).toEqual([
        ['a p/1', 'b p/1'],
        [],
        ['c p/2'],
      ])
    })

    test.each([
      { name: 'not before its time', nowMs: startMs + 99, ids: [] },
      { name: 'at its time', nowMs: startMs + 100, ids: ['a'] },
    ])('a scheduled task is claimed $name', async ({ nowMs, ids }) => {
      const [outcome] = await store().submit([newTask('a', { notBeforeMs: startMs + 100 })], 10)
      expect(outcome).toMatchObject({ status: 'scheduled' })
      expect(await claimedIds(store(), {}, nowMs)).toEqual(ids)
    })

    test('a time that has passed when the task is submitted does not schedule it', async () => {
      expect(await store().submit([newTask('a', { notBeforeMs: startMs })], 10)).toMatchObject([{ status: 'queued' }])
    })

    test.each([
      { name: 'is kept from the replica it avoids', by: {}, afterMs: 99, ids: ['b'] },
      { name: 'goes to it when the time is over', by: {}, afterMs: 100, ids: ['a', 'b'] },
      { name: 'goes to it when it has no sibling', by: { hasSibling: false }, afterMs: 99, ids: ['a', 'b'] },
      { name: 'goes to another at once', by: { replica: 'p/1' as const }, afterMs: 0, ids: ['a', 'b'] },
    ])('a task that avoids a replica $name', async ({ by, afterMs, ids }) => {
      await store().submit([newTask('a'), newTask('b')], 10)
      const a = await leaseOne(store())
      const avoid = { replica: 'p/0', untilMs: startMs + 100 } as const
      await decide(store(), [end(a, { outcome: 'failed', next: { ...queuedNext, avoid } })])
      expect(await claimedIds(store(), by, startMs + afterMs)).toEqual(ids)
    })

    test('a suspect task goes alone, and only to an idle replica (R8)', async () => {
      await store().submit([newTask('suspect'), newTask('b'), newTask('c')], 10)
      await decide(store(), [end(await leaseOne(store()), lostOnce)])
      expect(await claimedIds(store(), { idle: false, count: 1 })).toEqual(['b'])
      expect(await claimedIds(store(), { count: 5 })).toEqual(['suspect'])
      expect(await claimedIds(store(), { count: 5 })).toEqual(['c'])
    })

    test('a suspect task of lower rank waits, and is not mixed with the others', async () => {
      await store().submit([newTask('suspect', { priority: 9 }), newTask('second', { priority: 8 })], 10)
      await decide(store(), [end(await leaseOne(store()), lostOnce)])
      await decide(store(), [end(await leaseOne(store(), { idle: false }), lostOnce)])
      await store().submit([newTask('top', { priority: 10 }), newTask('low')], 10)
      expect(await claimedIds(store(), { count: 5 })).toEqual(['top', 'low'])
      expect(await claimedIds(store(), { count: 5 })).toEqual(['suspect'])
      expect(await claimedIds(store(), { count: 5 })).toEqual(['second'])
    })

    test('a suspect task that avoids this replica does not stop the others', async () => {
      await store().submit([newTask('suspect'), newTask('b')], 10)
      const avoid = { replica: 'p/0', untilMs: startMs + 100 } as const
      await decide(store(), [end(await leaseOne(store()), { ...lostOnce, next: { ...queuedNext, avoid } })])
      expect(await claimedIds(store())).toEqual(['b'])
      expect(await claimedIds(store(), { replica: 'p/1' })).toEqual(['suspect'])
    })
  })

  describe('depths', () => {
    test('follow every task, and a commit tells those of the pools it touched', async () => {
      const later = (id: string, ms: number) => newTask(id, { notBeforeMs: startMs + ms })
      await store().submit(
        [newTask('a'), newTask('b'), later('s1', 50), later('s2', 20), newTask('q', { pool: 'q' })],
        10,
      )
      const a = await leaseOne(store())
      const p = { queued: 1, scheduled: 2, held: 0, leased: 1, suspects: 0, nextDueMs: startMs + 20 }
      const q = { queued: 1, scheduled: 0, held: 0, leased: 0, suspects: 0, nextDueMs: null }
      expect(await store().depths()).toEqual({ p, q })
      const decisions = [[{ kind: 'revoke', taskId: 'a', fence: a.fence } as const]]
      expect((await store().commit(newBatch({ decisions }))).depths).toEqual({ p })
      const due = await store().commit(newBatch({ nowMs: startMs + 20 }))
      expect(due.depths).toEqual({ p: { ...p, queued: 2, scheduled: 1, nextDueMs: startMs + 50 } })
      await decide(store(), [end({ taskId: 'a', fence: a.fence + 1 }, { next: { status: 'held', reason: 'why' } })])
      expect(await store().depths()).toMatchObject({ p: { queued: 2, held: 1, leased: 0 } })
    })

    test('count the suspects among the queued, whichever way they come and go', async () => {
      const suspects = async () => (await store().depths()).p?.suspects
      await store().submit([newTask('s'), newTask('b'), newTask('c')], 10)
      const [first, second] = [await leaseOne(store()), await leaseOne(store())]
      const later = { ...queuedNext, notBeforeMs: startMs + 50 }
      const ended = newBatch({ decisions: [[end(first, lostOnce)], [end(second, { ...lostOnce, next: later })]] })
      expect((await store().commit(ended)).depths).toMatchObject({ p: { queued: 2, scheduled: 1, suspects: 1 } })
      expect((await store().commit(newBatch({ nowMs: startMs + 50 }))).depths).toMatchObject({
        p: { queued: 3, scheduled: 0, suspects: 2 },
      })
      expect(await claimedIds(store())).toEqual(['s'])
      expect(await suspects()).toBe(1)
      await decide(store(), [{ kind: 'refund', taskId: 'b', attempts: 1, losses: 1 }])
      expect(await suspects()).toBe(0)
    })

    test('a refused decision changes none', async () => {
      await store().submit([newTask('a'), newTask('b')], 10)
      const a = await leaseOne(store())
      expect(await decide(store(), [end(a), end({ taskId: 'b', fence: 0 })])).toEqual(['stale'])
      expect(await store().depths()).toMatchObject({ p: { queued: 1, leased: 1 } })
    })
  })
}
