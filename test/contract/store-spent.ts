import { describe, expect, test } from 'vitest'
import type { NextState } from '../../src/model/change.ts'
import { nothingSpent } from '../../src/model/spent.ts'
import type { Store } from '../../src/port/store.ts'
import { decide, end, leaseOne, newTask, queuedNext, startMs } from './store-fixtures.ts'

const spent = { tokens: 5_000, usd: 0.25, calls: 5, timeMs: 1_500 }
const more = { tokens: 6_000, usd: 0.3, calls: 6, timeMs: 2_500 }
const heldNext: NextState = { status: 'held', reason: 'budget' }
const failedNext: NextState = { status: 'failed', error: { name: 'E', message: 'm' }, reason: 'r' }

/** What tasks have spent: kept over attempts and supervisors, until a person lets them go on. */
export function storeSpent(store: () => Store): void {
  describe('spent', () => {
    test('is written while the task runs, is left to the next supervisor, and comes with the next lease', async () => {
      await store().submit([newTask('a')], 10)
      const lease = await leaseOne(store())
      expect(lease.spent).toEqual(nothingSpent)
      const spend = { kind: 'spend', taskId: 'a', fence: lease.fence, spent } as const
      expect(await decide(store(), [spend])).toEqual(['applied'])
      expect(await store().task('a')).toMatchObject({ status: 'leased', spent })
      const [left] = (await store().takeOver(startMs + 1)).leases
      expect(left).toMatchObject({ taskId: 'a', spent })
      expect(await decide(store(), [spend])).toEqual(['stale'])
      await decide(store(), [end(left ?? lease, { next: queuedNext })])
      expect((await leaseOne(store())).spent).toEqual(spent)
    })

    test('the end of an attempt says it again; without a word it stays', async () => {
      await store().submit([newTask('a')], 10)
      await decide(store(), [end(await leaseOne(store()), { spent, next: queuedNext })])
      await decide(store(), [end(await leaseOne(store()), { next: queuedNext })])
      expect(await store().task('a')).toMatchObject({ spent })
      await decide(store(), [end(await leaseOne(store()), { spent: more })])
      expect(await store().task('a')).toMatchObject({ status: 'done', spent: more })
    })

    test('begins anew when a person lets a held task go on, or sends a failed one again', async () => {
      await store().submit([newTask('a')], 10)
      await decide(store(), [end(await leaseOne(store()), { spent, next: heldNext })])
      expect(await store().task('a')).toMatchObject({ status: 'held', spent })
      expect(await store().resolve('a', { kind: 'repeat' }, startMs)).toBe('queued')
      expect((await leaseOne(store())).spent).toEqual(nothingSpent)
      const [again] = (await store().takeOver(startMs)).leases
      if (again === undefined) throw new Error('no lease')
      await decide(store(), [end(again, { spent, next: failedNext })])
      await store().retry('a', undefined, startMs)
      expect(await store().task('a')).toMatchObject({ status: 'queued', spent: nothingSpent })
    })

    test('a task that a person lets fail keeps its account', async () => {
      await store().submit([newTask('a')], 10)
      await decide(store(), [end(await leaseOne(store()), { spent, next: heldNext })])
      await store().resolve('a', { kind: 'fail', reason: 'too dear' }, startMs)
      expect(await store().task('a')).toMatchObject({ status: 'failed', spent })
    })
  })
}
