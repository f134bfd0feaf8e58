import { describe, expect, test } from 'vitest'
import { decide, end, leaseOne, newBatch, newTask, queuedNext } from '../contract/store-fixtures.ts'
import { createMemoryStore, type StoreBugs } from './memory-store.ts'

describe('planted bugs', () => {
  const outcomes = async (bugs: StoreBugs) => {
    const store = createMemoryStore({ bugs })
    await store.submit([newTask('a')], 10)
    const late = await leaseOne(store)
    await decide(store, [{ kind: 'revoke', taskId: 'a', fence: late.fence }])
    await decide(store, [end({ taskId: 'a', fence: late.fence + 1 }, { next: queuedNext })])
    await leaseOne(store)
    return decide(store, [end(late)])
  }

  test('fenceNotChecked lets a late result pass, and only with the bug', async () => {
    expect(await outcomes({})).toEqual(['stale'])
    expect(await outcomes({ fenceNotChecked: true })).toEqual(['applied'])
  })

  test.each([true, false])('leaseReturnedOutsideTransaction: %s', async (leaseReturnedOutsideTransaction) => {
    const store = createMemoryStore({ bugs: { leaseReturnedOutsideTransaction } })
    await store.submit([newTask('a'), newTask('b')], 10)
    const [a, b] = [await leaseOne(store), await leaseOne(store)]
    const refused = { kind: 'revoke', taskId: 'nobody', fence: 0 } as const
    await decide(store, [end(a, { next: queuedNext }), refused])
    expect((await store.task('a'))?.status).toBe(leaseReturnedOutsideTransaction ? 'queued' : 'leased')
    // The supervisor dies before this commit.
    store.returnLeases(newBatch({ decisions: [[end(b, { next: queuedNext })]] }))
    expect((await store.task('b'))?.status).toBe(leaseReturnedOutsideTransaction ? 'queued' : 'leased')
  })
})
