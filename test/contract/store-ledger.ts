import { describe, expect, test } from 'vitest'
import type { PoolRecord, ReplicaRecord } from '../../src/model/change.ts'
import { nothingSpent } from '../../src/model/spent.ts'
import type { Store } from '../../src/port/store.ts'
import {
  decide,
  end,
  leaseOne,
  newIncident,
  newTask,
  queuedNext,
  started,
  startMs,
  stepDone,
} from './store-fixtures.ts'

const replica: ReplicaRecord = {
  name: 'p/0',
  pool: 'p',
  index: 0,
  incarnation: 4,
  pid: 77,
  startTicks: 123_456,
  strikes: [{ atMs: startMs, incidentId: 'i', minSlot: 2, taskId: 'a', dependency: null }],
  quarantined: false,
  incidentId: 'i',
}
const pool: PoolRecord = {
  pool: 'p',
  wanted: 3,
  incarnationFloor: 4,
  hold: { cause: 'operator', sinceMs: startMs, reason: 'maintenance', incidentId: null },
}

/** Incidents, replicas, pools, audit, and what the next supervisor finds of them. */
export function storeLedger(store: () => Store): void {
  describe('take-over', () => {
    test('an empty store leaves nothing, and keeps its name', async () => {
      const left = await store().takeOver(startMs)
      expect(left).toEqual({
        storeId: left.storeId,
        replicas: [],
        leases: [],
        pools: [],
        dependencies: [],
        incidents: [],
        told: [],
      })
      expect(left.storeId).not.toBe('')
      expect((await store().takeOver(startMs + 1)).storeId).toBe(left.storeId)
    })

    test('I3, I5: every lease comes back under a raised fence, also one that was returning', async () => {
      await store().submit([newTask('a'), newTask('b'), newTask('c')], 10)
      const a = await leaseOne(store(), { replica: 'p/1', incarnation: 5 })
      const b = await leaseOne(store())
      await decide(store(), [{ kind: 'revoke', taskId: 'b', fence: b.fence }])
      const { leases } = await store().takeOver(startMs + 50)
      expect([...leases].sort((x, y) => x.taskId.localeCompare(y.taskId))).toEqual([
        {
          taskId: 'a',
          pool: 'p',
          replica: 'p/1',
          incarnation: 5,
          fence: a.fence + 2,
          attempt: 1,
          sinceMs: startMs,
          spent: nothingSpent,
          inDoubt: null,
        },
        {
          taskId: 'b',
          pool: 'p',
          replica: 'p/0',
          incarnation: 1,
          fence: b.fence + 3,
          attempt: 1,
          sinceMs: startMs,
          spent: nothingSpent,
          inDoubt: null,
        },
      ])
      expect(await store().task('a')).toMatchObject({ status: 'returning' })
      expect(await decide(store(), [end(a)], [stepDone(a, 's')])).toEqual(['stale', 'stale'])
      // The predecessor's last words: a revoke that was never written, and the end under the fence it would have raised.
      const revoke = { kind: 'revoke', taskId: 'a', fence: a.fence } as const
      expect(await decide(store(), [revoke], [end({ taskId: 'a', fence: a.fence + 1 })])).toEqual(['stale', 'stale'])
      expect(
        await decide(store(), [end({ taskId: 'a', fence: a.fence + 2 }, { next: queuedNext, counted: false })]),
      ).toEqual(['applied'])
      expect(await store().depths()).toMatchObject({ p: { queued: 2, leased: 1 } })
    })

    test.each([
      { name: 'ask_human, started', steps: ['ask_human'] as const, done: false, inDoubt: { name: 's0', key: '1' } },
      { name: 'ask_human, done', steps: ['ask_human'] as const, done: true, inDoubt: null },
      { name: 'check_first, started', steps: ['check_first'] as const, done: false, inDoubt: null },
      {
        name: 'the second one',
        steps: ['safe_to_retry', 'ask_human'] as const,
        done: false,
        inDoubt: { name: 's1', key: '1' },
      },
    ])('a lease tells the step in doubt: $name', async ({ steps, done, inDoubt }) => {
      await store().submit([newTask('a')], 10)
      const a = await leaseOne(store())
      for (const [index, repeat] of steps.entries()) {
        await decide(store(), [started(a, `s${index}`, { repeat })])
        if (done) await decide(store(), [stepDone(a, `s${index}`, { repeat })])
      }
      expect((await store().takeOver(startMs)).leases).toMatchObject([{ inDoubt }])
    })

    test('replicas, pools and open incidents come with it, as last written', async () => {
      await decide(
        store(),
        [
          { kind: 'replica', record: replica },
          { kind: 'replica', record: { ...replica, name: 'p/1', index: 1 } },
        ],
        [{ kind: 'pool', record: { ...pool, wanted: 1 } }],
        [
          { kind: 'incident', incident: newIncident('open') },
          { kind: 'incident', incident: newIncident('shut') },
        ],
        [{ kind: 'incident', incident: newIncident('review', { status: 'needs_review' }) }],
      )
      await decide(
        store(),
        [
          { kind: 'replica', record: { ...replica, incarnation: 5 } },
          { kind: 'forget_replica', replica: 'p/1' },
        ],
        [{ kind: 'pool', record: pool }],
        [{ kind: 'incident', incident: newIncident('shut', { status: 'closed', closedMs: startMs }) }],
      )
      const left = await store().takeOver(startMs)
      expect(left.replicas).toEqual([{ ...replica, incarnation: 5 }])
      expect(left.pools).toEqual([pool])
      expect(left.incidents).toEqual([newIncident('open'), newIncident('review', { status: 'needs_review' })])
    })
  })

  describe('incidents', () => {
    test('the last word stands; lists are newest first and filtered', async () => {
      const incidents = [
        newIncident('a', { replica: 'p/1', taskId: 't' }),
        newIncident('b', { status: 'closed' }),
        newIncident('c', { status: 'probation' }),
        newIncident('d', { status: 'needs_review', replica: null }),
      ]
      await decide(store(), ...incidents.map((incident) => [{ kind: 'incident', incident } as const]))
      await decide(store(), [
        { kind: 'incident', incident: newIncident('a', { replica: 'p/1', taskId: 't', recoveredMs: 9 }) },
      ])
      const ids = async (query: object) => (await store().incidents({ limit: 10, ...query })).rows.map(({ id }) => id)
      expect(await store().incident('a')).toMatchObject({ recoveredMs: 9 })
      expect(await store().incident('nobody')).toBeNull()
      expect(await ids({})).toEqual(['d', 'c', 'b', 'a'])
      expect(await ids({ open: true })).toEqual(['d', 'c', 'a'])
      expect(await ids({ open: false })).toEqual(['b'])
      expect(await ids({ status: 'probation' })).toEqual(['c'])
      expect(await ids({ replica: 'p/0' })).toEqual(['c', 'b'])
      expect(await ids({ taskId: 't' })).toEqual(['a'])
    })

    test('pages join without a gap', async () => {
      const ids = ['a', 'b', 'c', 'd', 'e']
      await decide(store(), ...ids.map((id) => [{ kind: 'incident', incident: newIncident(id) } as const]))
      const first = await store().incidents({ limit: 2 })
      const second = await store().incidents({ limit: 3, cursor: first.cursor ?? '' })
      expect([...first.rows, ...second.rows].map(({ id }) => id)).toEqual(['e', 'd', 'c', 'b', 'a'])
      expect(second.cursor).toBeNull()
    })
  })

  test('the audit tells the newest first', async () => {
    const rows = ['one', 'two', 'three'].map((what) => ({
      atMs: startMs,
      who: 'ada',
      what,
      target: 'p/0',
      reason: 'why',
    }))
    await decide(store(), ...rows.map((row) => [{ kind: 'audit', ...row } as const]))
    expect(await store().audit(2)).toEqual([rows[2], rows[1]])
  })
}
