import { expect, test } from 'vitest'
import type { ChaosFault } from '../model/chaos.ts'
import type { Culprit, FaultKind } from '../model/fault.ts'
import { nothingSpent } from '../model/spent.ts'
import { isHealed, scoreOf, type Trial } from './chaos-score.ts'
import type { WireIncident, WireInjection, WireTask } from './wire.ts'

const at = (ms: number): string => new Date(1_000_000 + ms).toISOString()

function injection(fault: ChaosFault, more: Partial<WireInjection> = {}): WireInjection {
  const strikes = [{ at: at(0), replica: 'p/0', task: 't1' }]
  return { id: 'x', fault, pool: 'p', replica: 'p/0', at: at(-10), forMs: null, strikes, ...more }
}

function incident(kind: FaultKind, culprit: Culprit, more: Partial<WireIncident> = {}): WireIncident {
  return {
    ...{ id: 'i', pool: 'p', replica: 'p/0', task: 't1', status: 'probation', timeline: [] },
    fault: { kind, culprit, evidence: [] },
    ...{ detectedAt: at(40), detectionMs: 0, recoveredAt: at(100), recoveryMs: 60 },
    actions: [{ kind: 'hard_restart', replica: 'p/0', at: at(40) }],
    ...more,
  }
}

function task(id: string, status: WireTask['status'], ...outcomes: readonly string[]): WireTask {
  const attempt = { replica: 'p/0', incarnation: 1, startedAt: at(0), endedAt: at(1) }
  const attempts = outcomes.map((outcome) => ({ ...attempt, outcome }))
  return {
    ...{ id, pool: 'p', status, input: 1, submittedAt: at(0), finishedAt: null, steps: [] },
    attempts,
    spent: nothingSpent,
  }
}

const crash: Trial = {
  injection: injection('crash'),
  incidents: [incident('crashed', 'unknown')],
  tasks: [task('t1', 'done', 'crashed', 'done'), task('t2', 'done', 'done')],
  gaveUp: false,
}
const dead = task('t1', 'dead_letter', 'crashed', 'crashed', 'crashed')
const buried = incident('poison', 'task', {
  replica: null,
  detectedAt: at(90),
  actions: [{ kind: 'dead_letter', replica: null, at: at(90) }],
})
const twoStrikes = [
  { at: at(0), replica: 'p/0', task: 't1' },
  { at: at(50), replica: 'p/1', task: 't1' },
]

test('what is noticed, healed and costs nothing is right', () => {
  expect(scoreOf(crash)).toEqual({
    ...{ fault: 'crash', victims: ['p/0'], noticedMs: 40, recoveredMs: 100, lost: 0, doneTwice: 0 },
    ...{ wrongActions: [], verdicts: ['crashed/unknown'], wrong: [] },
  })
})

test.each([
  {
    name: 'the harm of others: an action on somebody else',
    trial: {
      ...crash,
      incidents: [incident('crashed', 'agent', { actions: [{ kind: 'replace', replica: 'p/1', at: at(41) }] })],
    },
    wrong: ['wrong: replace of p/1'],
  },
  {
    name: 'too much: an action that is not for this fault',
    trial: {
      ...crash,
      incidents: [incident('crashed', 'agent', { actions: [{ kind: 'quarantine', replica: 'p/0', at: at(41) }] })],
    },
    wrong: ['wrong: quarantine of p/0'],
  },
  {
    name: 'an action before the strike answers something else',
    trial: {
      ...crash,
      incidents: [incident('crashed', 'agent', { actions: [{ kind: 'quarantine', replica: 'p/1', at: at(-1) }] })],
    },
    wrong: [],
  },
  {
    name: 'the wrong culprit',
    trial: { ...crash, incidents: [incident('crashed', 'dependency')] },
    wrong: ['it was not noticed for what it is', 'taken for crashed/dependency'],
  },
  {
    name: 'a verdict that has nothing to do with it',
    trial: { ...crash, incidents: [incident('crashed', 'agent'), incident('stalled', 'agent', { actions: [] })] },
    wrong: ['taken for stalled/agent'],
  },
  {
    name: 'a restart in an outage',
    trial: { ...crash, injection: injection('outage'), incidents: [incident('dependency_unavailable', 'dependency')] },
    wrong: ['wrong: hard_restart of p/0'],
  },
  {
    name: 'anything at all about a slow loop',
    trial: { ...crash, injection: injection('slow-loop'), incidents: [incident('unresponsive', 'agent')] },
    wrong: ['taken for unresponsive/agent', 'wrong: hard_restart of p/0'],
  },
  { name: 'a task that failed', trial: { ...crash, tasks: [task('t1', 'failed', 'failed')] }, wrong: ['1 lost'] },
  { name: 'a task that is still open', trial: { ...crash, tasks: [task('t1', 'queued')] }, wrong: ['1 lost'] },
  { name: 'two results', trial: { ...crash, tasks: [task('t1', 'done', 'done', 'done')] }, wrong: ['1 done twice'] },
  { name: 'no end', trial: { ...crash, gaveUp: true }, wrong: ['it was not over in time'] },
  {
    name: 'no strike',
    trial: { ...crash, injection: injection('crash', { strikes: [] }), incidents: [] },
    wrong: ['it never struck: no task came to its replica'],
  },
  {
    name: 'poison: every replica it struck may be replaced, and its task is buried',
    trial: {
      ...crash,
      injection: injection('poison', { strikes: twoStrikes }),
      incidents: [
        incident('crashed', 'task'),
        incident('crashed', 'task', { replica: 'p/1', actions: [{ kind: 'replace', replica: 'p/1', at: at(60) }] }),
        buried,
      ],
      tasks: [dead, task('t2', 'done', 'done')],
    },
    wrong: [],
  },
  {
    name: 'poison: a dead letter that is not its own',
    trial: {
      ...crash,
      injection: injection('poison'),
      incidents: [buried],
      tasks: [task('t1', 'done'), { ...dead, id: 't2' }],
    },
    wrong: ['2 lost'],
  },
])('$name', ({ trial, wrong }) => {
  expect(scoreOf(trial).wrong).toEqual(wrong)
})

test('a fault that lasts has recovered by so much after its end', () => {
  const outage = injection('outage', { forMs: 60 })
  const score = scoreOf({
    ...crash,
    injection: outage,
    incidents: [incident('tool_unavailable', 'dependency', { actions: [] })],
  })
  expect([score.noticedMs, score.recoveredMs]).toEqual([40, 40])
})

test('an incident that was there before the strike is noticed again with its next action', () => {
  const actions = [-50, 30].map((ms) => ({ kind: 'hard_restart', replica: 'p/0', at: at(ms) }))
  const score = scoreOf({ ...crash, incidents: [incident('crashed', 'agent', { detectedAt: at(-50), actions })] })
  expect([score.noticedMs, score.wrong]).toEqual([30, []])
})

test('tasks of others are not counted', () => {
  expect(scoreOf({ ...crash, tasks: null })).toMatchObject({ lost: null, doneTwice: null, wrong: [] })
})

test.each([
  { name: 'before the strike', seen: { ...crash, injection: injection('crash', { strikes: [] }) }, healed: false },
  { name: 'before it is noticed', seen: { ...crash, incidents: [] }, healed: false },
  {
    name: 'while one incident is not recovered',
    seen: { ...crash, incidents: [incident('crashed', 'agent'), incident('crashed', 'agent', { recoveredAt: null })] },
    healed: false,
  },
  { name: 'when all are', seen: crash, healed: true },
  {
    name: 'a slow loop: while it lasts',
    seen: { ...crash, injection: injection('slow-loop', { forMs: 201 }) },
    healed: false,
  },
  {
    name: 'a slow loop: at its end',
    seen: { ...crash, injection: injection('slow-loop', { forMs: 200 }) },
    healed: true,
  },
])('healed $name: $healed', ({ seen, healed }) => {
  expect(isHealed(seen, 1_000_200)).toBe(healed)
})
