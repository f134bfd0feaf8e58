import { afterEach, expect, test, vi } from 'vitest'
import type { PoolSpec } from '../../src/model/pool.ts'
import { PauseWatch } from '../../src/runtime/pause.ts'
import { simulate } from './run.ts'
import type { Bugs } from './world.ts'

/** Within how many seeds a planted bug must be noticed. */
const seedsMost = 150

interface Planted {
  /** Of `product.md`, section 5. */
  readonly rule: string
  readonly bug: string
  readonly plant: () => Bugs
  /** Any of these says it; see `checkers/`. */
  readonly noticedBy: readonly string[]
}

/** The supervisor heeds other numbers of the ladder than those that are configured. */
function recovering(change: (recovery: PoolSpec['recovery']) => Partial<PoolSpec['recovery']>): () => Bugs {
  return () => ({
    misreads: (pool) => ({ ...pool, recovery: { ...pool.recovery, ...change(pool.recovery) } }),
  })
}

/** A rule without a checker is not tested, and neither is a checker that has noticed nothing yet: one bug for each at least. */
const planted: readonly Planted[] = [
  {
    rule: 'R1',
    bug: 'which dependency a call uses is not seen, so that agents and tasks answer for it',
    plant: () => ({ dependenciesUnseen: true }),
    noticedBy: ['outage_charges_nobody', 'outage_fails_nobody', 'outage_refunds'],
  },
  {
    rule: 'R2',
    bug: 'a pool does not heed what it depends on',
    plant: () => ({ misreads: (pool) => ({ ...pool, dependsOn: [] }) }),
    noticedBy: ['outage_holds'],
  },
  { rule: 'R2', bug: 'refunds are forgotten', plant: () => ({ refundsForgotten: true }), noticedBy: ['refunds_kept'] },
  {
    rule: 'R3',
    bug: 'a rung is tried more often than the ladder says',
    plant: recovering(({ soft, hard }) => ({ soft: soft + 2, hard: hard + 2 })),
    noticedBy: ['ladder'],
  },
  {
    rule: 'R4',
    bug: 'the probation is cut short',
    plant: recovering(({ probationMs }) => ({ probationMs: probationMs / 4 })),
    noticedBy: ['probation'],
  },
  {
    rule: 'R5',
    bug: 'replacements know no limit',
    plant: recovering(({ intensity }) => ({ intensity: 20 * intensity, maxRecovering: 20 })),
    noticedBy: ['bounded_replacement'],
  },
  {
    rule: 'R6',
    bug: 'the store does not compare fences',
    plant: () => ({ fenceNotChecked: true }),
    noticedBy: ['old_fence_accepted'],
  },
  {
    rule: 'R6',
    bug: 'a lease goes back before the transaction that decides it',
    plant: () => ({ leaseReturnedOutsideTransaction: true }),
    noticedBy: ['not_lost', 'one_lease', 'let_go_first', 'act_once'],
  },
  {
    rule: 'R6',
    bug: 'frames of a dead process are taken for those of the next one',
    plant: () => ({ oldIncarnationAccepted: true }),
    noticedBy: ['one_process', 'ghosts'],
  },
  {
    rule: 'R7',
    bug: 'what is slow is taken for stalled before its deadline',
    plant: () => ({
      misreads: (pool) => ({ ...pool, deadlines: { ...pool.deadlines, stepMs: 2_000, toolMs: 2_000, idleMs: 2_000 } }),
    }),
    noticedBy: ['slow_is_not_dead'],
  },
  {
    rule: 'R8',
    bug: 'a task may end as many replicas as it likes',
    plant: () => ({
      misreads: (pool) => ({
        ...pool,
        recovery: { ...pool.recovery, poisonAfter: 6 },
        retry: { ...pool.retry, attempts: 9 },
      }),
    }),
    noticedBy: ['poison_bounded'],
  },
  {
    rule: 'R9',
    bug: 'a supervisor that starts does not know who was told what',
    plant: () => ({ toldForgotten: true }),
    noticedBy: ['opened_once', 'resolved_once'],
  },
  {
    rule: 'R10',
    bug: 'nobody counts the soft restarts',
    plant: recovering(() => ({ alertAfterSoft: Number.MAX_SAFE_INTEGER })),
    noticedBy: ['healing_is_not_hidden'],
  },
  {
    rule: 'R11',
    bug: 'a supervisor does not notice that it was paused',
    plant: () => {
      vi.spyOn(PauseWatch.prototype, 'ran').mockReturnValue(0)
      return {}
    },
    noticedBy: ['slow_is_not_dead'],
  },
  {
    rule: 'R12',
    bug: 'a pool that is only observed is acted on',
    plant: recovering(() => ({ mode: 'act' })),
    noticedBy: ['observe_only'],
  },
]

afterEach(() => {
  vi.restoreAllMocks()
})

test('every rule has a planted bug', () => {
  const all = Array.from({ length: 12 }, (_, at) => `R${at + 1}`)
  expect([...new Set(planted.map(({ rule }) => rule))]).toEqual(all)
})

test.each(planted)('$rule: $bug: noticed by $noticedBy', { timeout: 120_000 }, async ({ plant, noticedBy }) => {
  const bugs = plant()
  for (let seed = 1; seed <= seedsMost; seed++) {
    const { violations } = await simulate({ seed, bugs })
    if (violations.some(({ rule }) => noticedBy.includes(rule))) return
  }
  throw new Error(`none of ${seedsMost} seeds noticed it`)
})
