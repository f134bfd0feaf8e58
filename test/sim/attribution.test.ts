import { expect, test } from 'vitest'
import { kindNames, kinds } from '../../bench/parts/attribution-kinds.ts'
import { trySimulated } from '../../bench/parts/attribution-simulated.ts'
import { isRight, trialOf } from '../../bench/parts/attribution-verdict.ts'

/** Not the seeds that `npm run bench -- attribution` counts, and few: the bench has the figures. */
const seeds = [1_001, 1_002]

test.each(kindNames)('%s: the right culprit is named', async (kind) => {
  for (const seed of seeds) {
    const trial = await trySimulated(kind, seed)
    expect({ seed, right: isRight(trial), verdict: trial.verdict }).toMatchObject({ seed, right: true })
  }
})

test('a wrong verdict, and one wrong incident among right ones, is counted as wrong', () => {
  const course = { id: 'i', first: 'unknown', last: 'task', firstMs: 1, lastMs: 2, words: '' } as const
  expect(isRight(trialOf('poison_crash', 1, [course], true))).toBe(true)
  expect(isRight(trialOf('poison_crash', 1, [course, { ...course, last: 'agent' }], true))).toBe(false)
  expect(isRight(trialOf('crash', 1, [], true))).toBe(false)
  expect(isRight(trialOf('starved', 1, [], false))).toBe(true)
  expect(isRight(trialOf('starved', 1, [{ ...course, last: 'agent' }], false))).toBe(false)
  expect(isRight(trialOf('rejected', 1, [], false))).toBe(false)
})

test('every culprit has at least two kinds, and each says why', () => {
  const counts: Record<string, number> = {}
  for (const { truth, because } of Object.values(kinds)) {
    counts[truth] = (counts[truth] ?? 0) + 1
    expect(because).not.toBe('')
  }
  for (const culprit of ['agent', 'task', 'dependency', 'node', 'unknown'])
    expect(counts[culprit]).toBeGreaterThanOrEqual(2)
})
