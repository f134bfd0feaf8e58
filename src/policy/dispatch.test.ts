import { describe, expect, test } from 'vitest'
import { poolRow, poolSpec, readyReplica, runningAttempt } from '../../test/fixtures/specs.ts'
import type { ReplicaName } from '../model/ids.ts'
import type { AttemptRow, PoolRow, ReplicaRow } from '../model/rows.ts'
import { planClaims } from './dispatch.ts'
import { heard } from './rows.ts'

const spec = poolSpec()
const busy = (count: number, replica: `${string}/${number}`): readonly AttemptRow[] =>
  Array.from({ length: count }, (_, at) => runningAttempt(`${replica}-${at}`, { replica }))

function plan(
  queued: number,
  hands: readonly number[],
  more: {
    pool?: Partial<PoolRow>
    rows?: Partial<ReplicaRow>
    concurrency?: number
    suspects?: number
    doubtful?: readonly ReplicaRow['name'][]
    tried?: string
  } = {},
) {
  const replicas = hands.map((_, index) => readyReplica(index, more.rows))
  const candidates = replicas.map((row, at) => ({ row, attempts: busy(hands[at] ?? 0, row.name) }))
  const pool = poolRow({
    depth: { queued, scheduled: 0, held: 0, leased: 0, suspects: more.suspects ?? 0, nextDueMs: null },
    taskMs: 1_000,
    ...more.pool,
  })
  const claims = planClaims(pool, { ...spec, concurrency: more.concurrency ?? 1 }, candidates, {
    nowMs: 0,
    lagMs: 0,
    replicas,
    blocked: [],
    doubtful: new Set(more.doubtful ?? []),
    tried: more.tried ?? null,
  })
  return Object.fromEntries(claims.map((claim) => [claim.replica, claim.count]))
}

/** Held for a dependency that one task may try. */
function trial(replica: ReplicaName | null = null, isOpen = true) {
  return { pool: { notReady: 'model provider', trial: { atMs: 0, isOpen, replica } }, tried: 'llm' }
}

describe('who asks for work', () => {
  test.each([
    { name: 'nothing queued', claims: plan(0, [0, 0]), is: {} },
    {
      name: 'one task, three idle replicas: two ask, since it may avoid one',
      claims: plan(1, [0, 0, 0]),
      is: { 'p/0': 1, 'p/1': 1 },
    },
    { name: 'long tasks are not prefetched', claims: plan(9, [0, 1]), is: { 'p/0': 1 } },
    {
      name: 'free places are filled up to the concurrency',
      claims: plan(9, [1, 0], { concurrency: 2 }),
      is: { 'p/0': 1, 'p/1': 2 },
    },
    {
      name: 'short tasks are prefetched, shared evenly',
      claims: plan(10, [0, 0], { pool: { taskMs: 0.1 } }),
      is: { 'p/0': 5, 'p/1': 5 },
    },
    { name: 'the prefetch has a limit', claims: plan(1_000, [0], { pool: { taskMs: 0.001 } }), is: { 'p/0': 129 } },
    { name: 'in doubt: the others ask', claims: plan(9, [0, 0, 0], { doubtful: ['p/1'] }), is: { 'p/0': 1, 'p/2': 1 } },
    { name: 'not ready: nobody asks', claims: plan(9, [0, 0], { pool: { notReady: 'model provider' } }), is: {} },
    { name: 'to be tried: one asks for one task', claims: plan(9, [0, 0, 0], trial()), is: { 'p/0': 1 } },
    { name: 'after the replica that was last', claims: plan(9, [0, 0, 0], trial('p/1')), is: { 'p/2': 1 } },
    { name: 'after the last of them the first again', claims: plan(9, [0, 0, 0], trial('p/2')), is: { 'p/0': 1 } },
    { name: 'one that has its hands full is passed over', claims: plan(9, [1, 0], trial()), is: { 'p/1': 1 } },
    { name: 'the trial is under way', claims: plan(9, [0, 0], trial(null, false)), is: {} },
    {
      name: 'it was granted, but the dependency is not to be tried any more',
      claims: plan(9, [0, 0], { pool: trial().pool }),
      is: {},
    },
    {
      name: 'held by an operator: nobody asks',
      claims: plan(9, [0, 0], { pool: { hold: { cause: 'operator', sinceMs: 0, reason: '', incidentId: null } } }),
      is: {},
    },
    {
      name: 'held as defective: the canary alone, one task',
      claims: plan(9, [0, 0], {
        pool: { hold: { cause: 'defective_agent', sinceMs: 0, reason: '', incidentId: null } },
      }),
      is: { 'p/0': 1 },
    },
    {
      name: 'failed readiness gates dispatch',
      claims: plan(9, [0], {
        rows: { readiness: { verdict: 'failed', failures: 3, successes: 0, nextAtMs: 0, asked: null } },
      }),
      is: {},
    },
    {
      name: 'a suspect replica gets nothing',
      claims: plan(9, [0], { rows: { pulse: heard(-3_000) } }),
      is: {},
    },
    {
      name: 'one ms before suspect it does',
      claims: plan(9, [0], { rows: { pulse: heard(-2_999) } }),
      is: { 'p/0': 1 },
    },
    {
      name: 'no suspect waits: nobody runs empty',
      claims: plan(900, [3, 3, 3], { pool: { taskMs: 0.1 } }),
      is: { 'p/0': 126, 'p/1': 126, 'p/2': 126 },
    },
    {
      name: 'a suspect waits: the two least loaded run empty, since it may avoid one',
      claims: plan(900, [3, 1, 2], { pool: { taskMs: 0.1 }, suspects: 1 }),
      is: { 'p/0': 126 },
    },
    {
      name: 'a suspect waits: what has run empty takes one task alone',
      claims: plan(900, [3, 0, 2], { pool: { taskMs: 0.1 }, suspects: 1 }),
      is: { 'p/0': 126, 'p/1': 1 },
    },
    {
      name: 'a suspect waits: idle replicas take one each, whatever the concurrency',
      claims: plan(9, [0, 0], { concurrency: 4, suspects: 2 }),
      is: { 'p/0': 1, 'p/1': 1 },
    },
  ])('$name', ({ claims, is }) => {
    expect(claims).toEqual(is)
  })
})
