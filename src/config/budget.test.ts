import { expect, test } from 'vitest'
import { defaultBudget } from '../model/detect.ts'
import { resolveConfig } from './index.ts'

function resolve(pool: object) {
  const context = { root: '/project', stateFolder: '/project/.prunella', env: {}, fileExists: () => true }
  return resolveConfig({ pools: { a: { agent: './a.ts', ...pool } } }, context).pools[0]?.detect.budget
}

test('nothing is limited unless the configuration says so', () => {
  expect(resolve({})).toEqual(defaultBudget)
})

test('limits are named by unit and by whom', () => {
  const limits = { tokensPerTask: 5_000, timePerTask: '10m', callsPerReplica: 7, usdPerHour: 1.5, usdPerDay: 20 }
  expect(resolve({ limits })?.limits).toEqual({
    task: { tokens: 5_000, usd: null, calls: null, timeMs: 600_000 },
    replica: { tokens: null, usd: null, calls: 7, timeMs: null },
    pool: { tokens: null, usd: 1.5, calls: null, timeMs: null },
    day: { tokens: null, usd: 20, calls: null, timeMs: null },
  })
})

test('a budget is told of sooner, or not kept at all', () => {
  const budget = { enabled: false, share: { nudge: 0.5 }, burn: { nudge: 10 }, burnTokens: 9 }
  expect(resolve({ detect: { budget } })).toMatchObject({
    enabled: false,
    share: { note: 0.5, nudge: 0.5, act: 1 },
    burn: { note: 2, nudge: 10, act: Number.POSITIVE_INFINITY },
    burnTokens: 9,
  })
})

const silent = { agent: { command: ['node'], protocol: 'none' } }

test.each([
  {
    name: 'one that nobody could count',
    pool: { ...silent, limits: { tokensPerTask: 5 } },
    says: 'pools.a.limits.tokensPerTask needs an agent that tells its model calls, or a provider in gateway.providers; got protocol "none" and none',
  },
  { name: 'half a token', pool: { limits: { tokensPerDay: 0.5 } }, says: 'pools.a.limits.tokensPerDay must be' },
  { name: 'no money', pool: { limits: { usdPerTask: 0 } }, says: 'pools.a.limits.usdPerTask must be above 0' },
  {
    name: 'a limit beyond the limit',
    pool: { detect: { budget: { share: { act: 1.1 } } } },
    says: 'pools.a.detect.budget.share.act must be at most 1 (a limit is a limit), got 1.1',
  },
])('refused: $name', ({ pool, says }) => {
  expect(() => resolve(pool)).toThrow(says)
})

test('time needs nobody to tell it', () => {
  expect(resolve({ ...silent, limits: { timePerTask: '5m' } })?.limits.task.timeMs).toBe(300_000)
})
