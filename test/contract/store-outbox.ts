import { describe, expect, test } from 'vitest'
import type { Change } from '../../src/model/change.ts'
import type { Severity } from '../../src/model/incident.ts'
import { limits } from '../../src/model/limits.ts'
import type { Notification, Told } from '../../src/model/notification.ts'
import type { Store } from '../../src/port/store.ts'
import { decide, end, newIncident, type StoreHarness, startMs } from './store-fixtures.ts'

function notification(id: string, severity: Severity = 'warning'): Notification {
  return {
    ...{ id, incidentId: 'i', change: 'opened', severity, title: 'it crashed', text: 'why', owner: 'ada', pool: 'p' },
    ...{ replica: 'p/0', taskId: null, evidence: ['exit code 1'], commands: ['prunella why i'], atMs: startMs },
    sequence: 1,
  }
}

function deliver(to: string, ...notifications: readonly Notification[]): Change {
  const deliveries = notifications.map((each) => ({ to, notification: each }))
  return { kind: 'notification', told: null, deliveries }
}

const told: Told = {
  incidentId: 'i',
  notifiers: { log: { sequence: 3, severity: 'critical', toldMs: { 'warning/open': startMs }, heldBack: 2 } },
}

/** Notifications are written with what they tell of, wait in order, and never without bound. */
export function storeOutbox(harness: () => StoreHarness): void {
  const store = (): Store => harness().store
  const ids = async (notifier: string) =>
    (await store().outbox(notifier, 10)).rows.map(({ notification: { id } }) => id)

  describe('outbox', () => {
    test('each notifier has its own, oldest first; the same delivery again is the same', async () => {
      expect(await store().outbox('log', 10)).toEqual({ rows: [], depth: 0, dropped: 0 })
      await decide(
        store(),
        [deliver('log', notification('a'), notification('b'))],
        [deliver('pager', notification('a'))],
      )
      await decide(store(), [deliver('log', notification('a'), notification('c'))])
      expect(await ids('log')).toEqual(['a', 'b', 'c'])
      expect(await store().outbox('log', 2)).toMatchObject({ rows: [{}, {}], depth: 3 })
      const [row] = (await store().outbox('pager', 1)).rows
      expect(row).toEqual({ seq: expect.any(Number), notification: notification('a'), tries: 0, retryAtMs: 0 })
    })

    test('I2: it is written with its decision, or not at all', async () => {
      const stale = end({ taskId: 'nobody', fence: 1 })
      const incident = { kind: 'incident', incident: newIncident('i') } as const
      expect(
        await decide(store(), [
          incident,
          deliver('log', notification('a')),
          { kind: 'notification', told, deliveries: [] },
          stale,
        ]),
      ).toEqual(['conflict'])
      expect(await ids('log')).toEqual([])
      expect((await store().takeOver(startMs)).told).toEqual([])
    })

    test('a row goes, or waits for its next try; one that is gone is no error', async () => {
      await decide(store(), [deliver('log', notification('a'), notification('b'))])
      const [a, b] = (await store().outbox('log', 2)).rows
      const writes = [
        { do: 'remove', seq: a?.seq ?? 0 },
        { do: 'postpone', seq: b?.seq ?? 0, tries: 4, retryAtMs: startMs + 9 },
        { do: 'postpone', seq: a?.seq ?? 0, tries: 1, retryAtMs: startMs },
        { do: 'remove', seq: a?.seq ?? 0 },
      ] as const
      expect(
        await decide(
          store(),
          writes.map((write) => ({ kind: 'outbox', write }) as const),
        ),
      ).toEqual(['applied'])
      expect(await store().outbox('log', 2)).toMatchObject({
        rows: [{ seq: b?.seq, tries: 4, retryAtMs: startMs + 9 }],
        depth: 1,
      })
    })

    test('what was told comes with the take-over, as last written, until nobody knows of it', async () => {
      await decide(store(), [{ kind: 'notification', told: { ...told, notifiers: {} }, deliveries: [] }])
      await decide(store(), [{ kind: 'notification', told, deliveries: [] }])
      expect((await store().takeOver(startMs)).told).toEqual([told])
      await decide(store(), [{ kind: 'notification', told: { incidentId: 'i', notifiers: {} }, deliveries: [] }])
      expect((await store().takeOver(startMs)).told).toEqual([])
    })

    test('what waits and what is known survive the end of the store', async () => {
      const { reopen } = harness()
      await decide(store(), [deliver('log', notification('a')), { kind: 'notification', told, deliveries: [] }])
      const next = reopen === null ? store() : await reopen()
      expect((await next.outbox('log', 10)).rows).toMatchObject([{ notification: notification('a') }])
      expect((await next.takeOver(startMs)).told).toEqual([told])
    })

    test('notifiers that are no longer named are forgotten', async () => {
      await decide(store(), [deliver('log', notification('a')), deliver('pager', notification('a'))])
      await decide(store(), [{ kind: 'outbox', write: { do: 'keep_only', notifiers: ['pager'] } }])
      expect(await ids('log')).toEqual([])
      expect(await ids('pager')).toEqual(['a'])
    })

    test('S21: when it is full the quietest and oldest go, counted, until somebody owns up', async () => {
      const many = Array.from({ length: limits.outboxRows - 1 }, (_, at) => notification(`w${at}`))
      await decide(store(), [deliver('pager', notification('i0', 'info'), ...many)])
      expect(await store().outbox('pager', 1)).toMatchObject({ depth: limits.outboxRows, dropped: 0 })
      await decide(store(), [deliver('log', notification('c', 'critical')), deliver('log', notification('i1', 'info'))])
      // First the quiet one; then the quiet one that has just come, for another notifier.
      expect(await store().outbox('pager', 1)).toMatchObject({ depth: limits.outboxRows - 1, dropped: 1 })
      expect(await store().outbox('log', 2)).toMatchObject({ rows: [{ notification: { id: 'c' } }], dropped: 1 })
      await decide(store(), [deliver('log', notification('c2', 'critical'))])
      expect((await store().outbox('pager', 1)).rows).toMatchObject([{ notification: { id: 'w1' } }])
      await decide(store(), [{ kind: 'outbox', write: { do: 'own_up', notifier: 'pager', count: 1 } }])
      expect(await store().outbox('pager', 1)).toMatchObject({ dropped: 1 })
      await decide(store(), [{ kind: 'outbox', write: { do: 'own_up', notifier: 'pager', count: 1 } }])
      expect(await store().outbox('pager', 1)).toMatchObject({ dropped: 0 })
    })
  })
}
