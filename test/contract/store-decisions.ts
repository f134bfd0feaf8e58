import { describe, expect, test } from 'vitest'
import type { NextState } from '../../src/model/change.ts'
import { limits } from '../../src/model/limits.ts'
import type { Store } from '../../src/port/store.ts'
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

/** Fences, decisions, steps. */
export function storeDecisions(store: () => Store): void {
  describe('fences', () => {
    test('I3: after a revoke the old fence is refused in every write, the raised one ends the attempt', async () => {
      await store().submit([newTask('a')], 10)
      const lease = await leaseOne(store())
      expect(await decide(store(), [{ kind: 'revoke', taskId: 'a', fence: lease.fence }])).toEqual(['applied'])
      expect(await store().task('a')).toMatchObject({
        status: 'returning',
        fence: lease.fence + 1,
        lease: { replica: 'p/0' },
      })
      expect(
        await decide(
          store(),
          [end(lease)],
          [started(lease, 's')],
          [stepDone(lease, 's')],
          [{ kind: 'revoke', taskId: 'a', fence: lease.fence }],
          [{ kind: 'revoke', taskId: 'a', fence: lease.fence + 1 }],
        ),
      ).toEqual(['stale', 'stale', 'stale', 'stale', 'conflict'])
      const raised = { taskId: 'a', fence: lease.fence + 1 }
      expect(await decide(store(), [end(raised, { outcome: 'stalled', next: queuedNext })])).toEqual(['applied'])
      const again = await leaseOne(store())
      expect(again.fence).toBeGreaterThan(raised.fence)
      expect(again.attempt).toBe(2)
      expect(await decide(store(), [end(raised)], [end(lease)])).toEqual(['stale', 'stale'])
      expect(await decide(store(), [end(again)])).toEqual(['applied'])
      expect(await decide(store(), [end(again)], [stepDone(again, 's')])).toEqual(['stale', 'stale'])
    })

    test('a fence from the future, a waiting task, and nobody are refused too', async () => {
      await store().submit([newTask('a'), newTask('waiting')], 10)
      const lease = await leaseOne(store())
      const ahead = end({ taskId: 'a', fence: lease.fence + 1 })
      const waiting = end({ taskId: 'waiting', fence: 0 })
      expect(await decide(store(), [ahead], [waiting], [end({ taskId: 'nobody', fence: 0 })])).toEqual([
        'stale',
        'stale',
        'conflict',
      ])
    })

    test('renewal leaves a lost lease alone, without an error', async () => {
      await store().submit([newTask('a')], 10)
      const lease = await leaseOne(store())
      const leases = [lease, { taskId: 'nobody', fence: 3 }, { taskId: 'a', fence: lease.fence + 1 }]
      expect(await decide(store(), [{ kind: 'renew', leases, untilMs: startMs + 1 }])).toEqual(['applied'])
      expect(await store().task('a')).toMatchObject({ status: 'leased', fence: lease.fence })
    })
  })

  describe('end of an attempt', () => {
    const error = { name: 'Error', message: 'no', code: 'X' }
    test.each<{ next: NextState; seen: object; fenceRaised: boolean }>([
      { next: doneNext, seen: { status: 'done', output: { ok: true }, finishedMs: startMs + 5 }, fenceRaised: false },
      {
        next: { status: 'failed', error, reason: 'often enough' },
        seen: { status: 'failed', error, reason: 'often enough', finishedMs: startMs + 5, output: null },
        fenceRaised: false,
      },
      {
        next: { status: 'dead_letter', error: null, reason: 'poison' },
        seen: { status: 'dead_letter', error: null, reason: 'poison', finishedMs: startMs + 5 },
        fenceRaised: false,
      },
      {
        next: { status: 'cancelled', reason: 'asked' },
        seen: { status: 'cancelled', reason: 'asked', finishedMs: startMs + 5 },
        fenceRaised: false,
      },
      {
        next: { status: 'held', reason: 'in doubt' },
        seen: { status: 'held', reason: 'in doubt', finishedMs: null },
        fenceRaised: true,
      },
      { next: queuedNext, seen: { status: 'queued', notBeforeMs: null, finishedMs: null }, fenceRaised: true },
      {
        next: { ...queuedNext, notBeforeMs: startMs + 6 },
        seen: { status: 'scheduled', notBeforeMs: startMs + 6 },
        fenceRaised: true,
      },
      { next: { ...queuedNext, notBeforeMs: startMs + 5 }, seen: { status: 'queued' }, fenceRaised: true },
    ])('leads to $next.status, with what belongs to it', async ({ next, seen, fenceRaised }) => {
      await store().submit([newTask('a')], 10)
      const lease = await leaseOne(store())
      expect(await decide(store(), [end(lease, { next })])).toEqual(['applied'])
      expect(await store().task('a')).toMatchObject({
        ...seen,
        lease: null,
        fence: lease.fence + (fenceRaised ? 1 : 0),
      })
    })

    test('is recorded, and the next attempt is told', async () => {
      await store().submit([newTask('a')], 10)
      const first = await leaseOne(store(), { replica: 'p/3', incarnation: 8 })
      const previous = {
        attempt: 1,
        outcome: 'crashed',
        error,
        evidence: ['signal 11'],
        doNot: ['do not call tool "x" again'],
      } as const
      await decide(store(), [end(first, { outcome: 'crashed', lostReplica: 'p/3', error, previous, next: queuedNext })])
      const second = await leaseOne(store())
      expect(second).toMatchObject({ attempt: 2, countedAttempts: 1, lostReplicas: ['p/3'], previous })
      await decide(store(), [end(second, { outcome: 'returned', counted: false, next: queuedNext })])
      expect(await leaseOne(store())).toMatchObject({
        attempt: 3,
        countedAttempts: 1,
        lostReplicas: ['p/3'],
        previous: null,
      })
      const record = { startedMs: startMs, endedMs: startMs + 5 }
      expect((await store().task('a'))?.attempts).toEqual([
        { attempt: 1, replica: 'p/3', incarnation: 8, ...record, outcome: 'crashed', counted: true, error },
        { attempt: 2, replica: 'p/0', incarnation: 1, ...record, outcome: 'returned', counted: false },
      ])
    })

    test(`remembers the last ${limits.attemptsKept}`, async () => {
      await store().submit([newTask('a')], 10)
      for (let attempt = 1; attempt <= limits.attemptsKept + 2; attempt += 1) {
        await decide(store(), [end(await leaseOne(store()), { outcome: 'failed', next: queuedNext })])
      }
      const task = await store().task('a')
      expect(task?.attempts.map(({ attempt }) => attempt)).toEqual(
        Array.from({ length: limits.attemptsKept }, (_, index) => index + 3),
      )
      expect(task?.countedAttempts).toBe(limits.attemptsKept + 2)
    })

    test('refunds give back attempts and losses, never below none, and a task that is gone needs none', async () => {
      await store().submit([newTask('a')], 10)
      for (const lostReplica of ['p/1', 'p/2'] as const) {
        await decide(store(), [end(await leaseOne(store()), { outcome: 'crashed', lostReplica, next: queuedNext })])
      }
      expect(await decide(store(), [{ kind: 'refund', taskId: 'a', attempts: 1, losses: 1 }])).toEqual(['applied'])
      const lease = await leaseOne(store())
      expect(lease).toMatchObject({ countedAttempts: 1, lostReplicas: ['p/1'] })
      await decide(store(), [{ kind: 'refund', taskId: 'a', attempts: 9, losses: 9 }])
      await decide(store(), [end(lease, { counted: false, next: queuedNext })])
      // No longer suspect: a busy replica may have it.
      const again = await leaseOne(store(), { idle: false })
      expect(again).toMatchObject({ countedAttempts: 0, lostReplicas: [] })
      await decide(store(), [end(again, { counted: false, next: queuedNext })])
      const last = await leaseOne(store())
      await decide(store(), [end(last)], [{ kind: 'refund', taskId: 'a', attempts: 1, losses: 0 }])
      expect(await store().task('a')).toMatchObject({ status: 'done', countedAttempts: 0, output: { ok: true } })
      const gone = { kind: 'refund', taskId: 'nobody', attempts: 1, losses: 0 } as const
      expect(await decide(store(), [gone, { kind: 'incident', incident: newIncident('i') }])).toEqual(['applied'])
      expect(await store().incident('i')).not.toBeNull()
    })
  })

  describe('decisions', () => {
    test('I2: one refused change leaves nothing of its decision, and does not touch the others', async () => {
      await store().submit([newTask('a'), newTask('b'), newTask('c')], 10)
      const [a, b] = [await leaseOne(store()), await leaseOne(store())]
      const refused = [
        { kind: 'incident', incident: newIncident('i') } as const,
        { kind: 'audit', atMs: startMs, who: 'me', what: 'x', target: 'p', reason: '' } as const,
        stepDone(a, 's'),
        end(a),
        end({ taskId: 'b', fence: 99 }),
      ]
      expect(await decide(store(), [{ kind: 'incident', incident: newIncident('before') }], refused, [end(b)])).toEqual(
        ['applied', 'stale', 'applied'],
      )
      expect(await store().task('a')).toMatchObject({ status: 'leased', fence: a.fence, attempts: [], steps: [] })
      expect(await store().task('b')).toMatchObject({ status: 'done' })
      expect(await store().incident('i')).toBeNull()
      expect(await store().audit(10)).toEqual([])
      expect(await store().incident('before')).not.toBeNull()
    })

    test('later changes of a decision see the earlier ones', async () => {
      await store().submit([newTask('a')], 10)
      const a = await leaseOne(store())
      const raised = { taskId: 'a', fence: a.fence + 1 }
      const outcome = await decide(store(), [
        started(a, 's'),
        stepDone(a, 's'),
        { kind: 'revoke', ...raised, fence: a.fence },
        end(raised, { next: queuedNext, lostReplica: 'p/0', outcome: 'crashed' }),
        { kind: 'refund', taskId: 'a', attempts: 1, losses: 1 },
      ])
      expect(outcome).toEqual(['applied'])
      expect(await store().task('a')).toMatchObject({
        status: 'queued',
        countedAttempts: 0,
        steps: [{ name: 's', state: 'done' }],
      })
      expect(await leaseOne(store(), { idle: false })).toMatchObject({ attempt: 2, journal: [{ name: 's' }] })
    })

    test.each([
      { name: 'queued', applied: true, prepare: async () => {} },
      { name: 'leased', applied: false, prepare: async () => void (await leaseOne(store())) },
      {
        name: 'final',
        applied: false,
        prepare: async () => void (await decide(store(), [end(await leaseOne(store()))])),
      },
      {
        name: 'held',
        applied: true,
        prepare: async () =>
          void (await decide(store(), [end(await leaseOne(store()), { next: { status: 'held', reason: 'x' } })])),
      },
    ])('a waiting task can be ended, this one is $name', async ({ applied, prepare }) => {
      await store().submit([newTask('a')], 10)
      await prepare()
      const next = { status: 'cancelled', reason: 'asked' } as const
      const cancel = { kind: 'finish_waiting', taskId: 'a', atMs: startMs + 9, next } as const
      expect(await decide(store(), [cancel], [{ ...cancel, taskId: 'nobody' }])).toEqual([
        applied ? 'applied' : 'conflict',
        'conflict',
      ])
      if (applied)
        expect(await store().task('a')).toMatchObject({ status: 'cancelled', reason: 'asked', finishedMs: startMs + 9 })
      if (applied) await expect(leaseOne(store())).rejects.toThrow('Nothing to claim')
    })
  })

  describe('steps', () => {
    test('I4: a finished step stays, comes with the next lease, and is never overwritten', async () => {
      await store().submit([newTask('a')], 10)
      const first = await leaseOne(store())
      await decide(
        store(),
        [started(first, 'one', { repeat: 'check_first' })],
        [stepDone(first, 'two', { result: { big: 'x'.repeat(9_000) } })],
      )
      await decide(store(), [stepDone(first, 'one', { repeat: 'check_first', result: [1] })])
      expect(
        await decide(
          store(),
          [stepDone(first, 'one', { result: [1] })],
          [stepDone(first, 'one', { result: [2] })],
          [started(first, 'one')],
        ),
      ).toEqual(['applied', 'conflict', 'conflict'])
      // The same name under another key is another step.
      await decide(store(), [stepDone(first, 'one', { key: '2', result: null })])
      await decide(store(), [end(first, { outcome: 'crashed', next: queuedNext })])
      const times = { startedMs: startMs + 1, endedMs: startMs + 2 }
      const { journal } = await leaseOne(store())
      expect(journal).toEqual([
        { state: 'done', name: 'one', key: '1', repeat: 'check_first', result: [1], ...times },
        { state: 'done', name: 'two', key: '1', repeat: 'safe_to_retry', result: { big: 'x'.repeat(9_000) }, ...times },
        { state: 'done', name: 'one', key: '2', repeat: 'safe_to_retry', result: null, ...times },
      ])
      expect((await store().task('a'))?.steps).toEqual(journal)
    })

    test('a started step is known to the next attempt, which may start it again', async () => {
      await store().submit([newTask('a')], 10)
      const first = await leaseOne(store())
      await decide(
        store(),
        [started(first, 's', { repeat: 'check_first' })],
        [end(first, { outcome: 'crashed', next: queuedNext })],
      )
      const second = await leaseOne(store())
      const step = { state: 'started', name: 's', key: '1', repeat: 'check_first' }
      expect(second.journal).toEqual([{ ...step, startedMs: startMs + 1 }])
      expect(await decide(store(), [started(second, 's', { repeat: 'check_first', atMs: startMs + 8 })])).toEqual([
        'applied',
      ])
      expect((await store().task('a'))?.steps).toEqual([{ ...step, startedMs: startMs + 8 }])
    })

    test(`a task journals ${limits.stepsPerTask} steps and not one more`, async () => {
      await store().submit([newTask('a')], 10)
      const lease = await leaseOne(store())
      const steps = Array.from({ length: limits.stepsPerTask }, (_, index) => [
        stepDone(lease, 's', { key: `${index}` }),
      ])
      expect(new Set(await decide(store(), ...steps))).toEqual(new Set(['applied']))
      expect(await decide(store(), [stepDone(lease, 'more')], [stepDone(lease, 's', { key: '0' })])).toEqual([
        'conflict',
        'applied',
      ])
    })
  })
}
