import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { harness, model, person, times, tool } from '../../../test/fixtures/run-facts.ts'
import { defaultLoopThresholds, defaultToolLoop, type LoopForm, type LoopVerdict } from '../../model/detect.ts'
import { limits } from '../../model/limits.ts'
import type { RunFact } from '../../model/run.ts'
import { foldRun, newRun, type RunState } from './tool-loop.ts'

function fold(
  facts: readonly RunFact[],
  spec = defaultToolLoop,
): { state: RunState; verdicts: readonly LoopVerdict[] } {
  let state = newRun
  const verdicts: LoopVerdict[] = []
  for (const fact of facts) {
    const folded = foldRun(state, fact, spec)
    state = folded.state
    if (folded.verdict !== null) verdicts.push(folded.verdict)
  }
  return { state, verdicts }
}

/** What each form needs to come to exactly `count`, and nothing else before it. */
const makers: Readonly<Record<LoopForm, (count: number) => readonly RunFact[]>> = {
  same_call: (count) => times(count, () => tool('look')),
  same_failure: (count) => times(count, () => tool('look', { isError: true })),
  cycle: (count) => times(3 * count, (at) => tool('look', { argsHash: `${at % 3}`, resultHash: `${at % 3}` })),
  same_error: (count) => times(count, (at) => tool('look', { argsHash: `${at}`, isError: true })),
  growing_arguments: (count) =>
    times(count, (at) => tool('look', { argsHash: `${at}`, argsLength: 20 + at, argsText: `look ${'x'.repeat(at)}` })),
  same_answer: (count) => times(count, (at) => tool('look', { argsHash: `${at}` })),
  digits_only: (count) => times(count, (at) => tool('look', { resultHash: `${at}`, resultNhash: '#' })),
  // Half points for new results under unknown words: 1 + (n - 1) / 2.
  same_request: (count) => times(2 * count - 1, (at) => tool('look', { resultHash: `${at}` })),
  request_cycle: (count) =>
    times(2 * count, (at) => [
      model('the same words', { toolCalls: 1 }),
      tool('look', { argsHash: `${at % 2}`, resultHash: `${at}` }),
    ]),
  talk: (count) => times(count, (at) => model(`words ${at}`)),
  monologue: (count) => times(count, () => model('the same words')),
  // One point each from the second call on: known errors of new calls.
  stagnation: (count) =>
    times(count + 1, (at) => tool(`look ${at % 2}`, { argsHash: `${at}`, isError: true, resultHash: `${at % 2}` })),
}

/** Forms that another form announces before they reach a level by themselves: their own threshold is moved down instead. */
const quiet = Object.fromEntries(
  Object.keys(defaultLoopThresholds).map((form) => [form, { note: 1e9, nudge: 1e9, act: 1e9 }]),
) as unknown as typeof defaultLoopThresholds

describe('each form, alone, on both sides of each threshold', () => {
  const rows = (Object.keys(makers) as LoopForm[]).flatMap((form) =>
    (['note', 'nudge', 'act'] as const).map((level) => ({ form, level, count: defaultLoopThresholds[form][level] })),
  )

  test.each(rows)('$form: $count is $level', ({ form, level, count }) => {
    const alone = {
      ...defaultToolLoop,
      thresholds: { ...quiet, [form]: { note: 1e9, nudge: 1e9, act: 1e9, [level]: count } },
    }
    const { verdicts } = fold(makers[form](count), alone)
    expect(verdicts).toMatchObject([{ fault: 'tool_loop', form, level }])
    expect(fold(makers[form](count).slice(0, -1), alone).verdicts).toEqual([])
  })
})

test('each level is said once, however long the loop', () => {
  const { verdicts } = fold(times(200, () => tool('look')))
  expect(verdicts.map(({ level }) => level)).toEqual(['note', 'nudge', 'act'])
})

test('a loop that begins again after work is said again', () => {
  const work = tool('write', { argsHash: 'new', resultHash: 'done' })
  const { verdicts } = fold([...times(3, () => tool('look')), work, ...times(3, () => tool('look'))])
  expect(verdicts.map(({ level }) => level)).toEqual(['note', 'nudge', 'note', 'nudge'])
})

test('a verdict carries the matching calls, and where the loop began', () => {
  const { verdicts } = fold([
    person(),
    tool('read', { argsHash: 'x', resultHash: 'other' }),
    ...times(6, () => tool('look', { argsText: '{"query":"weather"}' })),
  ])
  const { evidence, firstAt } = verdicts.at(-1)!
  expect(firstAt).toBe(2)
  expect(evidence).toHaveLength(7)
  expect(evidence[0]).toBe('the same call returned the same result 6 times in the last 8 calls')
  expect(evidence[1]).toBe('fact 2: look {"query":"weather"} → result r (100 characters)')
})

test('evidence is bounded whatever the arguments', () => {
  const { verdicts } = fold(times(20, () => tool('look', { argsText: 'x'.repeat(10_000) })))
  for (const line of verdicts.at(-1)!.evidence) expect(line.length).toBeLessThanOrEqual(limits.noteLength)
})

test.each([
  { name: 'an empty answer ends a turn', facts: times(50, () => model(null, { toolCalls: 0 })) },
  { name: 'unknown calls are not held against it', facts: times(50, (at) => model(`${at}`, { toolCalls: null })) },
  {
    name: 'a search that finds nothing fails without a word',
    facts: times(19, (at) => tool('grep', { argsHash: `${at}`, isError: true, resultLength: 0, resultHash: '' })),
  },
  {
    name: 'looks at what changes in between',
    facts: times(60, (at) => [tool('edit', { argsHash: `${at}`, resultHash: `${at}` }), tool('look')]),
  },
])('no action: $name', ({ facts }) => {
  expect(fold(facts).verdicts.filter(({ level }) => level === 'act')).toEqual([])
})

test('an error hash of the reporter stands for the error', () => {
  const facts = times(5, (at) =>
    tool('look', { argsHash: `${at}`, isError: true, resultHash: `request ${at}`, errorHash: 'unknown host' }),
  )
  expect(fold(facts).verdicts.at(-1)).toMatchObject({ form: 'same_error', level: 'act' })
})

test('a tool may have thresholds of its own', () => {
  const own = { polling: false, thresholds: { same_call: { note: 2, nudge: 3, act: 30 }, cycle: quiet.cycle } }
  const spec = {
    ...defaultToolLoop,
    thresholds: { ...quiet, same_call: defaultLoopThresholds.same_call },
    tools: { look: own },
  }
  // Only the last eight calls count, so thirty cannot be reached.
  expect(
    fold(
      times(100, () => tool('look')),
      spec,
    ).verdicts.at(-1),
  ).toMatchObject({ level: 'nudge' })
  expect(
    fold(
      times(100, () => tool('other')),
      spec,
    ).verdicts.at(-1),
  ).toMatchObject({ level: 'act' })
})

test('disabled, it says nothing', () => {
  expect(
    fold(
      times(100, () => tool('look')),
      { ...defaultToolLoop, enabled: false },
    ).verdicts,
  ).toEqual([])
})

describe('whatever the run', () => {
  const hash = fc.constantFrom('a', 'b', 'c', 'd')
  const anyTool = fc.record({
    name: fc.constantFrom('x', 'y'),
    argsHash: hash,
    resultHash: hash,
    isError: fc.boolean(),
  })
  const anyFact: fc.Arbitrary<RunFact> = fc.oneof(
    { weight: 6, arbitrary: anyTool.map(({ name, ...more }) => tool(name, more)) },
    { weight: 1, arbitrary: fc.nat(200).map((at) => tool('x', { argsHash: `${at}`, resultHash: `${at}` })) },
    { weight: 2, arbitrary: hash.map((text) => model(text)) },
    { weight: 1, arbitrary: fc.constant(harness()) },
  )

  test('a message of a person makes it a new run', () => {
    fc.assert(
      fc.property(fc.array(anyFact, { maxLength: 80 }), fc.array(anyFact, { maxLength: 30 }), (before, after) => {
        const withPast = fold([...before, person()]).state
        expect({ ...withPast, facts: 0 }).toEqual({ ...newRun, facts: 0 })
        const fresh = fold(after).verdicts.map(({ form, level }) => ({ form, level }))
        const past = fold([...before, person()]).verdicts.length
        const all = fold([...before, person(), ...after]).verdicts.slice(past)
        expect(all.map(({ form, level }) => ({ form, level }))).toEqual(fresh)
      }),
    )
  })

  test('a message of the harness forgives nothing', () => {
    fc.assert(
      fc.property(fc.array(anyFact, { maxLength: 80 }), (facts) => {
        const before = fold(facts).state
        expect(foldRun(before, harness(), defaultToolLoop).state).toEqual({ ...before, facts: before.facts + 1 })
      }),
    )
  })

  test('polling never fires, declared by the call or by the tool', () => {
    const poll = anyTool.map(({ name, ...more }) => tool(name, { ...more, poll: name === 'x' }))
    const spec = { ...defaultToolLoop, tools: { y: { polling: true, thresholds: {} } } }
    const asking = hash.map((text) => model(text, { toolCalls: 1 }))
    fc.assert(
      fc.property(fc.array(fc.oneof(poll, asking), { maxLength: 200 }), (facts) => {
        expect(fold(facts, spec).verdicts).toEqual([])
      }),
    )
  })

  test('the state stays within its limits', () => {
    const facts = times(3_000, (at) => [
      tool(`tool ${at % 7}`, {
        argsHash: `${(at * 31) % 997}`,
        resultHash: `${(at * 17) % 991}`,
        isError: at % 3 === 0,
      }),
      model(`text ${at}`, { toolCalls: at % 2 }),
    ])
    const { memory, cycles } = fold(facts).state
    expect(memory.calls).toHaveLength(limits.callsRemembered)
    for (const list of [memory.requests, memory.results, memory.texts]) {
      expect(list).toHaveLength(limits.hashesRemembered)
    }
    expect(cycles.whole).toHaveLength(limits.cyclePeriod)
    fc.assert(
      fc.property(fc.array(anyFact, { maxLength: 400 }), (run) => {
        expect(JSON.stringify(fold(run).state).length).toBeLessThan(40_000)
      }),
      { numRuns: 30 },
    )
  })
})
