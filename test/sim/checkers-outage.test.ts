import { expect, test } from 'vitest'
import type { Change, DependencyRecord } from '../../src/model/change.ts'
import { nothingSpent } from '../../src/model/spent.ts'
import type { Lease } from '../../src/model/task.ts'
import { createCheckers } from './checkers.ts'
import { SimClock } from './clock.ts'
import { createRandom } from './random.ts'
import { basicPool, calmScenario } from './scenario.ts'
import { Trace, type TraceEvent } from './trace.ts'

const first = { replica: 'pool/0', incarnation: 1 } as const
const sibling = { replica: 'pool/1', incarnation: 1 } as const
const taskId = 't1'

/** What happens, and when, ms. */
type Entry = readonly [number, TraceEvent]

function at(nowMs: number, changes: readonly Change[], leases: readonly Lease[] = []): Entry {
  const batch = { nowMs, decisions: [changes], claims: [] }
  return [nowMs, { kind: 'committed', batch, result: { outcomes: ['applied'], leases: [leases], depths: {} } }]
}

function lease(id = taskId, fence = 1): Lease {
  return {
    ...{ taskId: id, pool: 'pool', ...first, fence, attempt: 1, countedAttempts: 0, lostReplicas: [], input: null },
    ...{ priority: 0, deadlineMs: null, needs: [], spent: nothingSpent, journal: [], previous: null },
  }
}

function dependency(sinceMs: number | null): Change {
  const down = sinceMs === null ? null : { sinceMs, firstSignMs: sinceMs, reason: 'refused' }
  const record: DependencyRecord = { dependency: 'provider', down, openedMs: [], incidentId: null }
  return { kind: 'dependency', record }
}

function failed(atMs: number, counted: boolean, status: 'queued' | 'failed' = 'queued'): Change {
  const error = { name: 'Error', message: 'refused' }
  const next =
    status === 'failed'
      ? ({ status, error, reason: 'used up' } as const)
      : ({ status, notBeforeMs: null, avoid: null } as const)
  const how = { outcome: 'failed', counted, lostReplica: null, error, previous: null, next } as const
  return { kind: 'end_attempt', taskId, fence: 1, atMs, ...how }
}

function struck(atMs: number): Change {
  const strike = { atMs, incidentId: 'i', minSlot: 0, taskId: null, dependency: 'provider' }
  const place = { name: first.replica, pool: 'pool', index: 0, incarnation: 1, pid: 1, startTicks: 1 } as const
  return { kind: 'replica', record: { ...place, strikes: [strike], quarantined: false, incidentId: null } }
}

function incident(id: string): Change {
  const fault = { kind: 'llm_unavailable', culprit: 'dependency', evidence: ['refused'] } as const
  const times = { firstSignMs: 0, detectedMs: 0, recoveredMs: null, closedMs: null }
  const about = { id, pool: null, replica: null, taskId: null, dependency: 'provider', status: 'open' } as const
  const timeline = [{ atMs: 0, kind: 'sign', text: 'refused' }] as const
  return { kind: 'incident', incident: { ...about, fault, verdict: null, ...times, actions: [], timeline } }
}

const provider = (atMs: number, up: boolean): Entry => [atMs, { kind: 'provider', up }]
const said = (atMs: number, ok: boolean): Entry => [atMs, { kind: 'probe_answered', ok }]
const probed = (atMs: number): Entry => [atMs, { kind: 'probed' }]
const used = (atMs: number, ok: boolean, name: typeof first | typeof sibling = first, id = taskId): Entry => [
  atMs,
  { kind: 'used', ok, severed: false, declared: true, taskId: id, fence: 1, ...name },
]
const refund: Change = { kind: 'refund', taskId, attempts: 1, losses: 0 }
const out = [provider(0, false), at(0, [], [lease()]), used(1_000, false)]
const closed = [
  provider(0, false),
  at(1_000, [dependency(1_000)]),
  provider(9_000, true),
  at(10_000, [dependency(null)]),
]
const two = [lease(), lease('t2')]
const alone = (untilMs: number): readonly Entry[] => [
  used(0, false),
  used(1_000, false, first, 't2'),
  used(2_000, true, sibling, 't3'),
  used(3_000, false),
  used(untilMs, false, first, 't2'),
]

/** Each rule from both sides: what it must report, and the nearest thing that it must not. */
test.each<{ readonly name: string; readonly entries: readonly Entry[]; readonly rules: readonly string[] }>([
  {
    name: 'a task begun while it is known to be down',
    entries: [provider(0, false), at(1_000, [dependency(1_000)], [lease()])],
    rules: ['outage_holds'],
  },
  {
    name: 'one task that tries what its check calls well',
    entries: [provider(0, false), at(1_000, [dependency(1_000)]), said(6_000, true), at(6_000, [], [lease()])],
    rules: [],
  },
  {
    name: 'two for one answer',
    entries: [
      ...[provider(0, false), at(1_000, [dependency(1_000)]), said(6_000, true)],
      at(6_000, [], [lease(), lease('t2')]),
    ],
    rules: ['outage_holds'],
  },
  {
    name: 'one whose check has failed since',
    entries: [
      ...[provider(0, false), at(1_000, [dependency(1_000)]), said(6_000, false), said(11_000, true)],
      at(11_000, [], [lease()]),
    ],
    rules: ['outage_holds'],
  },
  {
    name: 'one whose check failed as it was found down',
    entries: [
      ...[provider(0, false), said(900, false), at(1_000, [dependency(1_000)]), said(6_000, true)],
      at(6_000, [], [lease()]),
    ],
    rules: ['outage_holds'],
  },
  { name: 'a task begun when it is back', entries: [...closed, at(10_000, [], [lease()])], rules: [] },
  {
    name: 'an attempt charged while it is known to be down',
    entries: [...out, at(500, [dependency(500)]), at(1_001, [failed(1_001, true)])],
    rules: ['outage_charges_nobody'],
  },
  {
    name: 'an attempt ended uncounted while it is known to be down',
    entries: [...out, at(500, [dependency(500)]), at(1_001, [failed(1_001, false)])],
    rules: [],
  },
  {
    name: 'a strike while it is known to be down',
    entries: [provider(0, false), at(500, [dependency(500)]), at(1_000, [struck(1_000)])],
    rules: ['outage_charges_nobody'],
  },
  { name: 'a strike before anything was down', entries: [at(1_000, [struck(1_000)])], rules: [] },
  {
    name: 'a charge kept when the verdict is there',
    entries: [...out, at(1_001, [failed(1_001, true)]), at(2_000, [dependency(2_000)])],
    rules: ['outage_refunds'],
  },
  {
    name: 'a charge given back with the verdict',
    entries: [...out, at(1_001, [failed(1_001, true)]), at(2_000, [dependency(2_000), refund])],
    rules: [],
  },
  {
    name: 'a strike kept when the verdict is there',
    entries: [...out, at(1_001, [struck(1_001)]), at(2_000, [dependency(2_000)])],
    rules: ['outage_refunds'],
  },
  {
    name: 'a strike older than the first failed call',
    entries: [at(0, [struck(0)]), ...out, at(2_000, [dependency(2_000)])],
    rules: [],
  },
  {
    name: 'a task that only the outage has failed',
    entries: [...out, at(1_001, [failed(1_001, true, 'failed')]), at(2_000, [dependency(2_000)])],
    rules: ['outage_fails_nobody'],
  },
  {
    name: 'a task that failed before there was an outage',
    entries: [at(0, [], [lease()]), at(1, [failed(1, true, 'failed')]), provider(2, false), at(9, [dependency(9)])],
    rules: [],
  },
  {
    name: 'a dependency blamed that is up',
    entries: [at(100_000, [dependency(100_000)])],
    rules: ['blamed_rightly'],
  },
  { name: 'a dependency blamed that is down', entries: [provider(0, false), at(1, [dependency(1)])], rules: [] },
  {
    name: 'an open breaker that asks again too soon',
    entries: [provider(0, false), at(1, [dependency(1)]), probed(5_000), probed(9_999)],
    rules: ['probes_paced'],
  },
  {
    name: 'an open breaker that asks again at once what was asked as a suspect',
    entries: [provider(0, false), probed(0), at(1, [dependency(1)]), probed(4_999)],
    rules: ['probes_paced'],
  },
  {
    name: 'an open breaker that asks every five seconds',
    entries: [provider(0, false), at(1, [dependency(1)]), probed(5_000), probed(10_000)],
    rules: [],
  },
  {
    name: 'a second incident of one outage',
    entries: [provider(0, false), at(1, [dependency(1), incident('a')]), at(2, [incident('b')])],
    rules: ['one_incident'],
  },
  {
    name: 'a second incident before the first has been well for its time',
    entries: [
      ...closed.slice(0, 1),
      at(1_000, [dependency(1_000), incident('a')]),
      at(10_000, [dependency(null)]),
      at(69_999, [dependency(69_999), incident('b')]),
    ],
    rules: ['one_incident'],
  },
  {
    name: 'a second incident after that',
    entries: [
      ...closed.slice(0, 1),
      at(1_000, [dependency(1_000), incident('a')]),
      at(10_000, [dependency(null)]),
      at(70_000, [dependency(70_000), incident('b')]),
    ],
    rules: [],
  },
  {
    name: 'two tasks begun at the foot of the ramp',
    entries: [...closed, at(10_500, [], two)],
    rules: ['ramped'],
  },
  { name: 'one task begun there', entries: [...closed, at(10_500, [], [lease()])], rules: [] },
  { name: 'two tasks begun above it', entries: [...closed, at(14_000, [], two)], rules: [] },
  { name: 'a severed replica that stays', entries: alone(93_001), rules: ['severed_is_replaced'] },
  { name: 'a severed replica with time to go', entries: alone(93_000), rules: [] },
  {
    name: 'a severed replica that was replaced',
    entries: [...alone(4_000), [5_000, { kind: 'process', what: 'gone', ...first }], ...alone(200_000).slice(4)],
    rules: [],
  },
])('$name: $rules', ({ entries, rules }) => {
  const clock = new SimClock(0)
  const trace = new Trace(clock, false)
  const calm = calmScenario(basicPool('pool', 3, 1), createRandom(1), {})
  const spec = calm.dependencies[0]
  if (spec === undefined) throw new Error('the scenario has no dependency')
  const gating = { ...calm, dependencies: [{ ...spec, critical: true }] }
  trace.read(createCheckers(trace, gating).all)
  for (const [atMs, event] of entries.toSorted(([a], [b]) => a - b)) {
    clock.advanceTo(atMs)
    trace.note(event)
  }
  expect([...new Set(trace.violations.map((violation) => violation.rule))]).toEqual(rules)
})
