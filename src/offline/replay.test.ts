import { describe, expect, test } from 'vitest'
import { harness, model, person, times, tool } from '../../test/fixtures/run-facts.ts'
import { defaultToolLoop } from '../model/detect.ts'
import type { RunFact } from '../model/run.ts'
import { checkExportHeader, isExportHeader, readExportedFact } from './export.ts'
import { leaveOneOut, traceOf } from './leave-one-out.ts'
import { modelCallsAfter, replayRun } from './replay.ts'
import type { Label, RecordedRun } from './run.ts'
import { median, outcomeOf, scoreOf } from './score.ts'
import { readTrajectory } from './trajectory.ts'

const call = (more: Parameters<typeof tool>[1] = {}): readonly RunFact[] => [
  model(null, { toolCalls: 1 }),
  tool('look', more),
]

test('each level is found at its step and its model call', () => {
  const { note, nudge, act } = replayRun([person(), ...times(8, () => call())], defaultToolLoop)
  expect(note).toMatchObject({ step: 4, modelCall: 2 })
  expect(nudge).toMatchObject({ step: 6, modelCall: 3 })
  expect(act).toMatchObject({ step: 12, modelCall: 6, firstAt: 2 })
})

test('a run without a loop has no findings', () => {
  const facts = times(30, (at) => call({ argsHash: `${at}`, resultHash: `${at}` }))
  expect(replayRun(facts, defaultToolLoop)).toEqual({ note: null, nudge: null, act: null })
})

test.each([
  { onset: 1, step: 1, calls: 0 },
  { onset: 1, step: 5, calls: 2 },
  { onset: 5, step: 1, calls: -2 },
])('from $onset to $step there are $calls model calls', ({ onset, step, calls }) => {
  expect(
    modelCallsAfter(
      times(4, () => call()),
      onset,
      step,
    ),
  ).toBe(calls)
})

const stuckLabel: Label = { kind: 'stuck', rule: 'S1_repeat', onset: 1 }
const cleanLabel: Label = { kind: 'clean', rule: null, onset: null }

function recorded(source: string, label: Label | null, facts: readonly RunFact[]): RecordedRun {
  return { id: source, source, pool: null, facts, label }
}

const looping = times(10, () => call())
const working = times(10, (at) => call({ argsHash: `${at}`, resultHash: `${at}` }))
const talking: readonly RunFact[] = times(10, (at) => [model(`${at}`), harness()])

describe('the score', () => {
  const runs = [
    recorded('a', stuckLabel, looping),
    recorded('a', stuckLabel, working),
    recorded('a', cleanLabel, working),
    recorded('b', cleanLabel, looping),
    recorded('b', { kind: 'stuck', rule: 'S7b_no_action', onset: 0 }, talking),
    recorded('b', { kind: 'unclear', rule: null, onset: null }, looping),
    recorded('b', null, looping),
  ]
  const outcomes = runs.flatMap((run) => outcomeOf(run, replayRun(run.facts, defaultToolLoop)) ?? [])
  const { act, labelled } = scoreOf(runs.length, outcomes)

  test('takes labelled runs only', () => expect(labelled).toBe(5))

  test('counts loops, talk and false alarms apart', () => {
    expect(act.loops).toEqual({ count: 1, of: 2, share: 0.5 })
    expect(act.talk).toEqual({ count: 1, of: 1, share: 1 })
    expect(act.falseAlarms).toEqual({ count: 1, of: 2, share: 0.5 })
  })

  test('and by source', () => {
    expect(act.sources).toMatchObject([
      { source: 'a', falseAlarms: { count: 0, of: 1 }, talk: { share: null } },
      { source: 'b', falseAlarms: { count: 1, of: 1 } },
    ])
  })

  test('has the median of what was caught', () => {
    // The loop: acted on at the sixth call, five model calls after the first; the talk at the fifth answer.
    expect(act.medianModelCallsAfterOnset).toBe(5)
    expect(median([])).toBeNull()
    expect(median([3, 1])).toBe(3)
  })
})

test('leave one out measures each source by thresholds that had not seen it', () => {
  const runs = ['a', 'b', 'c'].flatMap((source) => [
    ...Array.from({ length: 5 }, () => recorded(source, stuckLabel, looping)),
    ...Array.from({ length: 20 }, () => recorded(source, cleanLabel, working)),
    recorded(source, { kind: 'stuck', rule: 'S7b_no_action', onset: 0 }, talking),
  ])
  const traces = runs.flatMap((run) => traceOf(run, defaultToolLoop) ?? [])
  const { free, scaled } = leaveOneOut(traces, defaultToolLoop.thresholds)
  for (const { act, nudge } of [free, scaled]) {
    expect(act.sources).toHaveLength(3)
    for (const level of [act, nudge]) {
      expect(level).toMatchObject({ loops: { share: 1 }, talk: { share: 1 }, falseAlarms: { share: 0 } })
    }
  }
})

describe('trajectories', () => {
  const toolStep = {
    kind: 'tool',
    name: 'ls',
    args_hash: 'a',
    args_len: 1,
    result_hash: 'r',
    result_nhash: 'n',
    result_len: 2,
    is_error: false,
  }
  const row = { id: 'x', source: 's', label: 'stuck', rule: 'S1_repeat', onset: 3, success: false, steps: [toolStep] }

  test('identity, steps and label are taken, hindsight is not', () => {
    expect(readTrajectory(row, 'line 1')).toEqual({
      id: 'x',
      source: 's',
      pool: null,
      label: { kind: 'stuck', rule: 'S1_repeat', onset: 3 },
      facts: [
        {
          kind: 'tool',
          name: 'ls',
          argsHash: 'a',
          argsLength: 1,
          argsText: null,
          resultHash: 'r',
          resultNhash: 'n',
          resultLength: 2,
          isError: false,
          poll: false,
        },
      ],
    })
  })

  test.each([
    { name: 'not an object', row: [], says: 'line 1 must be an object, got []' },
    { name: 'without an id', row: { steps: [] }, says: 'line 1.id must be a string, got nothing' },
    { name: 'without steps', row: { id: 'x' }, says: 'line 1.steps must be a list, got nothing' },
    {
      name: 'an unknown kind',
      row: { id: 'x', steps: [toolStep, { kind: 'tol' }] },
      says: 'line 1.steps[1].kind must be one of tool, llm, user, got "tol"',
    },
    {
      name: 'a length that is none',
      row: { id: 'x', steps: [{ ...toolStep, args_len: -1 }] },
      says: 'line 1.steps[0].args_len must be a whole number from 0, got -1',
    },
    {
      name: 'a label nobody knows',
      row: { ...row, label: 'stcuk' },
      says: 'line 1.label must be one of stuck, clean, unclear, got "stcuk"',
    },
  ])('refuses $name', ({ row: bad, says }) => {
    expect(() => readTrajectory(bad, 'line 1')).toThrow(says)
  })
})

describe("the ledger's export", () => {
  const facts = [tool('look', { argsText: 'x', errorHash: null }), model('text'), person(), harness()]

  test.each(facts)('$kind comes back as it was', (fact) => {
    const line = JSON.parse(JSON.stringify({ run: 't_1/2', pool: 'p', fact }))
    expect(readExportedFact(line, 'line 2')).toEqual({ run: 't_1/2', pool: 'p', fact })
  })

  test('its header is known by its format', () => {
    expect(isExportHeader({ format: 'prunella.run-facts', version: 1 })).toBe(true)
    expect(isExportHeader({ id: 'x', steps: [] })).toBe(false)
    expect(() => checkExportHeader({ format: 'prunella.run-facts', version: 1 }, 'line 1')).not.toThrow()
  })

  test.each([
    { row: { format: 'other' }, says: 'line 1.format must be one of prunella.run-facts, got "other"' },
    { row: { format: 'prunella.run-facts', version: 2 }, says: 'line 1.version must be one of 1, got 2' },
  ])('another one is refused: $says', ({ row, says }) => {
    expect(() => checkExportHeader(row, 'line 1')).toThrow(says)
  })

  test('a bad fact is named', () => {
    expect(() => readExportedFact({ run: 'r', fact: { kind: 'user', auto: 1 } }, 'line 7')).toThrow(
      'line 7.fact.auto must be true or false, got 1',
    )
  })
})
