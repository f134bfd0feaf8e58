import { describe, expect, test } from 'vitest'
import { defaultFiles, defaultMemory, type LeakSpec, type LeakVerdict } from '../../model/detect.ts'
import { foldGauge, newGauge } from './memory.ts'

const secondMs = 1_000
const mebibyte = 2 ** 20

function fold(
  values: readonly number[],
  {
    limit = 100,
    spec = defaultMemory,
    everyMs = 10 * secondMs,
  }: { limit?: number | null; spec?: LeakSpec; everyMs?: number } = {},
): readonly LeakVerdict[] {
  let state = newGauge
  const verdicts: LeakVerdict[] = []
  for (const [at, value] of values.entries()) {
    const folded = foldGauge(state, 'leaking', { atMs: at * everyMs, value, limit }, spec)
    state = folded.state
    if (folded.verdict !== null) verdicts.push(folded.verdict)
  }
  return verdicts
}

describe('resident memory', () => {
  test.each<{ name: string; values: readonly number[]; levels: readonly string[] }>([
    { name: 'four samples say nothing', values: [60, 65, 70, 75], levels: [] },
    { name: 'five that grow do', values: [55, 60, 65, 70, 75], levels: ['act'] },
    { name: 'growth below half is nothing', values: [45, 46, 47, 48, 49], levels: [] },
    { name: 'at half it is noted', values: [46, 47, 48, 49, 50], levels: ['note'] },
    { name: 'below 60 %', values: [55, 56, 57, 58, 59], levels: ['note'] },
    { name: 'at 60 % a nudge', values: [56, 57, 58, 59, 60], levels: ['nudge'] },
    { name: 'below 70 %', values: [65, 66, 67, 68, 69], levels: ['nudge'] },
    { name: 'at 70 % it is drained', values: [66, 67, 68, 69, 70], levels: ['act'] },
    { name: 'full and flat is a cache', values: [90, 90, 90, 90, 90, 90, 90], levels: [] },
    { name: 'what a collection takes back is no leak', values: [70, 90, 70, 90, 70, 90, 70], levels: [] },
    {
      name: 'a floor that rises under the teeth is',
      values: [50, 70, 55, 75, 60, 80, 65, 85],
      levels: ['note', 'act'],
    },
    { name: 'less is no leak', values: [95, 90, 85, 80, 75], levels: [] },
    { name: 'each level once', values: [66, 67, 68, 69, 70, 71, 72, 73], levels: ['act'] },
  ])('$name', ({ values, levels }) => {
    const found = fold(values).map(({ level }) => level)
    expect(found.at(-1)).toBe(levels.at(-1))
    expect(found.filter((level) => level === 'act')).toEqual(levels.filter((level) => level === 'act'))
  })

  test('a limit that is far off in time is only noted', () => {
    const values = [70, 70.1, 70.2, 70.3, 70.4]
    // 29.6 left: at 0.1 in 2 s it is full in 592 s, in 2.1 s in 622 s.
    expect(fold(values, { everyMs: 2_000 }).at(-1)?.level).toBe('act')
    expect(fold(values, { everyMs: 2_100 }).at(-1)?.level).toBe('note')
  })

  test('a leak of 5 MB/s, sampled every 5 s, is drained before 80 % of 512 MiB', () => {
    const values = Array.from({ length: 100 }, (_, at) => (60 + 25 * at) * mebibyte)
    let state = newGauge
    const acted = values.findIndex((value, at) => {
      const folded = foldGauge(
        state,
        'leaking',
        { atMs: at * 5 * secondMs, value, limit: 512 * mebibyte },
        defaultMemory,
      )
      state = folded.state
      return folded.verdict?.level === 'act'
    })
    expect(values[acted]).toBeGreaterThan(0.7 * 512 * mebibyte)
    expect(values[acted]).toBeLessThan(0.8 * 512 * mebibyte)
  })

  test('without a limit nothing is said', () => {
    expect(fold([1, 2, 3, 4, 5, 6], { limit: null })).toEqual([])
  })

  test('disabled, it says nothing', () => {
    expect(fold([66, 67, 68, 69, 99], { spec: { ...defaultMemory, enabled: false } })).toEqual([])
  })

  test('the evidence can be checked, and the samples are bounded', () => {
    let state = newGauge
    let verdict: LeakVerdict | null = null
    for (let at = 0; at < 1_000; at++) {
      const sample = { atMs: at * secondMs, value: 300 * mebibyte + at * mebibyte, limit: 1_024 * mebibyte }
      const folded = foldGauge(state, 'leaking', sample, defaultMemory)
      state = folded.state
      if (folded.verdict?.level === 'act') verdict = folded.verdict
    }
    expect(state.samples).toHaveLength(20)
    expect(verdict?.evidence).toEqual([
      '717.0 MiB of 1024.0 MiB (70 %)',
      'grows by 60.0 MiB a minute over 20 samples: full in 5.1 minutes',
    ])
  })
})

describe('open files', () => {
  const files = (values: readonly number[]) => fold(values, { spec: defaultFiles })

  test.each([
    { name: 'flat below 80 %', values: [79, 79, 79], level: undefined },
    { name: 'one sample of 80 %', values: [10, 80], level: undefined },
    { name: 'two samples of 80 % are drained', values: [10, 80, 80], level: 'act' },
    { name: 'growth is drained before', values: [66, 67, 68, 69, 70], level: 'act' },
  ])('$name', ({ values, level }) => {
    expect(files(values).at(-1)?.level).toBe(level)
  })
})
