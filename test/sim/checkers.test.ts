import { expect, test } from 'vitest'
import type { Change, Claim, ReplicaRecord } from '../../src/model/change.ts'
import type { Incident } from '../../src/model/incident.ts'
import type { Notification, NotificationChange } from '../../src/model/notification.ts'
import type { Observation } from '../../src/model/observation.ts'
import { nothingSpent } from '../../src/model/spent.ts'
import type { Lease } from '../../src/model/task.ts'
import { check } from './checked.ts'
import type { ProcessName, TraceEvent } from './trace.ts'

const first: ProcessName = { replica: 'pool/0', incarnation: 1 }
const other: ProcessName = { replica: 'pool/1', incarnation: 1 }
const taskId = 't1'

function lease(fence: number, holder = first): TraceEvent {
  const { replica, incarnation } = holder
  const claim: Claim = {
    pool: 'pool',
    replica,
    incarnation,
    count: 1,
    idle: true,
    hasSibling: true,
    blocked: [],
    leaseUntilMs: 0,
  }
  return {
    kind: 'committed',
    batch: { nowMs: 0, decisions: [], claims: [claim] },
    result: { outcomes: [], leases: [[leaseOf(fence, holder)]], depths: {} },
  }
}

function leaseOf(fence: number, { replica, incarnation }: ProcessName): Lease {
  return {
    ...{ taskId, pool: 'pool', replica, incarnation, fence, attempt: 1, countedAttempts: 0, lostReplicas: [] },
    ...{ input: null, priority: 0, deadlineMs: null, needs: [], spent: nothingSpent, journal: [], previous: null },
  }
}

/** A decision as it should be: who acts on an incident tells of it. */
function commit(...changes: readonly Change[]): TraceEvent {
  const acts = changes.some((change) => change.kind === 'incident' && change.incident.actions.length > 0)
  return decided(...changes, ...(acts ? [tell('opened', 1)] : []))
}

function tell(change: NotificationChange, sequence: number, more: Partial<Notification> = {}): Change {
  const notification: Notification = {
    ...{ id: `i.webhook.${sequence}`, incidentId: 'i', change, sequence, severity: 'warning', title: '', text: '' },
    ...{ owner: null, pool: 'pool', replica: null, taskId: null, evidence: [], commands: [], atMs: 0 },
    ...more,
  }
  return { kind: 'notification', told: null, deliveries: [{ to: 'webhook', notification }] }
}

function decided(...changes: readonly Change[]): TraceEvent {
  const batch = { nowMs: 0, decisions: [changes], claims: [] }
  return { kind: 'committed', batch, result: { outcomes: ['applied'], leases: [], depths: {} } }
}

function end(fence: number, status: 'queued' | 'done' | 'dead_letter'): Change {
  const next =
    status === 'queued'
      ? ({ status, notBeforeMs: null, avoid: null } as const)
      : status === 'done'
        ? ({ status, output: null } as const)
        : ({ status, error: null, reason: 'poison' } as const)
  const outcome = status === 'done' ? 'done' : 'returned'
  return {
    ...{ kind: 'end_attempt', taskId, fence, atMs: 0, outcome, counted: false },
    ...{ lostReplica: null, error: null, previous: null, next },
  }
}

function stepDone(fence: number): Change {
  const times = { startedMs: 0, atMs: 0 }
  return { kind: 'step_done', taskId, fence, name: 'a', key: '0', repeat: 'safe_to_retry', result: null, ...times }
}

function asksHuman(fence: number): Change {
  return { kind: 'step_started', taskId, fence, name: 'a', key: '0', repeat: 'ask_human', atMs: 0 }
}

function record(name: ProcessName, strikes: number): Change {
  const { replica, incarnation } = name
  const strike = { atMs: 0, incidentId: 'i', minSlot: 0, taskId: null, dependency: null }
  const value: ReplicaRecord = {
    ...{ name: replica, pool: 'pool', index: 0, incarnation, pid: 1, startTicks: 1 },
    ...{ strikes: Array(strikes).fill(strike), quarantined: false, incidentId: null },
  }
  return { kind: 'replica', record: value }
}

function incident(changes: Partial<Incident>, action?: Partial<Incident['actions'][number]>): Change {
  const base = { status: 'decided', atMs: 0, endedMs: null, taskId: null, strike: 1, reason: '' } as const
  const actions = action === undefined ? [] : [{ ...base, kind: 'hard_restart' as const, ...first, ...action }]
  return {
    kind: 'incident',
    incident: {
      ...{ id: 'i', pool: 'pool', replica: 'pool/0', taskId: null, status: 'open', firstSignMs: 0, detectedMs: 0 },
      ...{ fault: { kind: 'crashed', culprit: 'agent', evidence: ['seen'] }, recoveredMs: null, closedMs: null },
      ...{ dependency: null, verdict: null },
      timeline: [{ atMs: 0, kind: 'sign', text: 'seen' }],
      actions,
      ...changes,
    },
  }
}

const resolved: TraceEvent = { kind: 'reopened', taskId, by: 'resolve' }
const revoke = (fence: number): Change => ({ kind: 'revoke', taskId, fence })
const renew: Change = { kind: 'renew', leases: [{ taskId, fence: 1 }], untilMs: 16_000 }
const acting = (name: ProcessName, fence: number): TraceEvent => ({
  ...{ kind: 'acting', on: true, taskId, fence, step: 'a', ...name },
})
const observed = (observation: Observation): TraceEvent => ({ kind: 'observed', observation })
const pulse = observed({ kind: 'pulse', lagMs: 0, atMs: 0, ...first })
const ready = observed({ kind: 'ready', checks: [], resettable: true, compactable: false, atMs: 0, ...first })
const done = observed({ kind: 'done', output: null, taskId, fence: 1, atMs: 0, ...first })
const process = (what: 'spawned' | 'gone' | 'given_up', name = first): TraceEvent => ({
  kind: 'process',
  what,
  ...name,
})
const spawn = (name: ProcessName): TraceEvent => ({ kind: 'effect', effect: { kind: 'spawn', pool: 'pool', ...name } })
const arrival = (sequence: number): TraceEvent => {
  const change = tell('opened', sequence)
  if (change.kind !== 'notification' || change.deliveries[0] === undefined) throw new Error('tells nothing')
  return { kind: 'notified', ...change.deliveries[0] }
}
const terminate: TraceEvent = { kind: 'effect', effect: { kind: 'terminate', graceMs: 0, ...first } }
const reset: TraceEvent = { kind: 'effect', effect: { kind: 'reset', taskId, fence: 1, reason: '', ...first } }
const dispatch: TraceEvent = {
  kind: 'effect',
  effect: { kind: 'dispatch', lease: leaseOf(1, first), leaseMs: 1, ...first },
}
const wound: TraceEvent = { kind: 'wound', wound: 'loop', taskId: null, healed: false, ...first }
const acted = commit(incident({}, {}))
const closed = {
  status: 'closed',
  recoveredMs: 0,
  timeline: [{ atMs: 0, kind: 'closed', text: 'the probation is passed' }],
} as const
const opened = decided(incident({}, {}), tell('opened', 1))
const over = incident({ ...closed, closedMs: 60_000 }, {})
const respawns = (count: number): readonly TraceEvent[] =>
  Array.from({ length: count + 2 }, (_, at) => commit(record({ ...first, incarnation: at }, 0)))

const quarantine = [
  commit(record(first, 0)),
  commit(incident({}, { kind: 'quarantine' })),
  commit(record({ ...first, incarnation: 2 }, 0)),
]
const released: Change = {
  ...{ kind: 'audit', atMs: 0, who: '', what: 'release', target: first.replica, reason: '' },
}
const release = commit(released)
/** The store refuses it. */
const refused = (...changes: readonly Change[]): TraceEvent => ({
  ...{ kind: 'commit_failed', batch: { nowMs: 0, decisions: [changes], claims: [] } },
})
const twelfth = record({ ...first, incarnation: 12 }, 0)

/** Each rule from both sides: what it must report, and the nearest thing that it must not. */
test.each<{ readonly name: string; readonly events: readonly TraceEvent[]; readonly rules: readonly string[] }>([
  { name: 'a second lease of a leased task', events: [lease(1), lease(2, other)], rules: ['one_lease'] },
  {
    name: 'a lease after the end of the first',
    events: [lease(1), commit(end(1, 'queued')), lease(3, other)],
    rules: [],
  },
  {
    name: 'a fence that does not grow',
    events: [lease(1), commit(end(1, 'queued')), lease(2)],
    rules: ['fences_grow'],
  },
  {
    name: 'a write under the revoked fence',
    events: [lease(1), commit(revoke(1)), commit(end(1, 'queued'))],
    rules: ['old_fence_accepted'],
  },
  {
    name: 'a write under the raised fence',
    events: [lease(1), commit(revoke(1)), commit(end(2, 'queued'))],
    rules: [],
  },
  {
    name: 'a lease that a takeover forgot',
    events: [
      lease(1),
      {
        kind: 'took_over',
        inheritance: { storeId: '', replicas: [], leases: [], pools: [], dependencies: [], incidents: [], told: [] },
      },
    ],
    rules: ['not_lost'],
  },
  { name: 'two attempts that act at once', events: [acting(first, 1), acting(other, 3)], rules: ['act_once'] },
  {
    name: 'an attempt beside one that nobody can kill, and what that does then',
    events: [acting(first, 1), process('given_up'), acting(other, 3), acting(first, 1)],
    rules: [],
  },
  {
    name: 'an attempt after the death of the first',
    events: [acting(first, 1), process('gone'), acting(other, 3)],
    rules: [],
  },
  {
    name: 'an attempt beside a corpse that survives SIGKILL',
    events: [acting(first, 1), process('given_up'), acting(other, 3)],
    rules: [],
  },
  {
    name: 'a step in doubt again, unasked',
    events: [
      lease(1),
      commit(asksHuman(1)),
      commit(end(1, 'queued')),
      lease(3),
      commit(asksHuman(3)),
      acting(first, 3),
    ],
    rules: ['asked_first'],
  },
  {
    name: 'a step in doubt again once a person was asked',
    events: [lease(1), commit(asksHuman(1)), commit(end(1, 'queued')), resolved, lease(3), acting(first, 3)],
    rules: [],
  },
  {
    name: 'a step in doubt again in the attempt that began it',
    events: [lease(1), commit(asksHuman(1)), acting(first, 1)],
    rules: [],
  },
  { name: 'a finished step again', events: [lease(1), commit(stepDone(1)), acting(first, 1)], rules: ['steps_once'] },
  {
    name: 'a task that goes back while it is acted on',
    events: [lease(1), acting(first, 1), commit(end(1, 'queued'))],
    rules: ['let_go_first'],
  },
  {
    name: 'a late effect of an older attempt',
    events: [{ kind: 'post', verdict: 'old_fence', post: { taskId, name: 'a', key: '0', fence: 1, ...first } }],
    rules: ['act_once'],
  },
  {
    name: 'a spawn beside a living process',
    events: [process('spawned'), spawn({ ...first, incarnation: 2 })],
    rules: ['one_process'],
  },
  {
    name: 'a spawn after its death',
    events: [process('spawned'), process('gone'), spawn({ ...first, incarnation: 2 })],
    rules: [],
  },
  { name: 'an incarnation used twice', events: [spawn(first), spawn(first)], rules: ['incarnations_grow'] },
  { name: 'a dispatch before ready', events: [dispatch], rules: ['ghosts'] },
  { name: 'a dispatch after ready', events: [ready, dispatch], rules: [] },
  { name: 'a result that nobody sent', events: [lease(1), commit(end(1, 'done'))], rules: ['ghosts'] },
  { name: 'a result that was sent', events: [lease(1), done, commit(end(1, 'done'))], rules: [] },
  {
    name: 'a lease renewed beyond the last sign of life',
    events: [pulse, lease(1), commit(renew)],
    rules: ['renewed_by_pulse'],
  },
  {
    name: 'a lease renewed by its length',
    events: [pulse, lease(1), commit({ ...renew, untilMs: 15_000 })],
    rules: [],
  },
  { name: 'a healthy replica ended, with a record', events: [acted, terminate], rules: ['slow_is_not_dead'] },
  { name: 'a looping replica ended, with a record', events: [wound, acted, terminate], rules: [] },
  { name: 'a looping replica ended without a record', events: [wound, terminate], rules: ['evidence'] },
  { name: 'a healthy attempt reset, with a record', events: [acted, reset], rules: ['slow_is_not_dead'] },
  {
    name: 'a cancelled attempt reset',
    events: [{ kind: 'operator', command: { kind: 'cancel', taskId } }, reset],
    rules: [],
  },
  {
    name: 'an incident without evidence',
    events: [commit(incident({ fault: { kind: 'crashed', culprit: 'agent', evidence: [] } }))],
    rules: ['evidence'],
  },
  {
    name: 'a dead letter without its incident',
    events: [lease(1), commit(end(1, 'dead_letter'))],
    rules: ['evidence'],
  },
  { name: 'a hard restart at the last hard strike', events: [commit(incident({}, {}), record(first, 5))], rules: [] },
  {
    name: 'a hard restart at the strike after it',
    events: [commit(incident({}, {}), record(first, 6))],
    rules: ['ladder'],
  },
  {
    name: 'a soft restart at the last soft strike',
    events: [commit(incident({}, { kind: 'soft_restart' }), record(first, 2))],
    rules: [],
  },
  {
    name: 'a soft restart at the strike after it',
    events: [commit(incident({}, { kind: 'soft_restart' }), record(first, 3))],
    rules: ['ladder'],
  },
  { name: 'a new process in a quarantined place', events: quarantine, rules: ['quarantine_kept'] },
  {
    name: 'a new process after the release',
    events: [...quarantine.slice(0, 2), release, ...quarantine.slice(2)],
    rules: [],
  },
  { name: 'a probation cut short', events: [commit(incident({ ...closed, closedMs: 59_999 }))], rules: ['probation'] },
  { name: 'a probation passed', events: [commit(incident({ ...closed, closedMs: 60_000 }))], rules: [] },
  { name: 'as many replacements as the intensity', events: respawns(10), rules: [] },
  { name: 'one replacement more', events: respawns(11), rules: ['bounded_replacement'] },
  {
    name: 'a release beside as many as the intensity, which the store refuses at first',
    events: [...respawns(10), refused(released), refused(twelfth), release, commit(twelfth)],
    rules: [],
  },
  {
    name: 'one replacement more after that release, which is one release however often it is written',
    events: [
      ...[...respawns(10), refused(released), refused(twelfth), release, commit(twelfth)],
      commit(record({ ...first, incarnation: 13 }, 0)),
    ],
    rules: ['bounded_replacement'],
  },
  { name: 'a hard restart that nobody is told of', events: [decided(incident({}, {}))], rules: ['told'] },
  { name: 'a hard restart that the pager is told of', events: [opened], rules: [] },
  {
    name: 'a soft restart that nobody is told of',
    events: [decided(incident({}, { kind: 'soft_restart' }), record(first, 1))],
    rules: [],
  },
  {
    name: 'a hard restart by an operator that nobody is told of',
    events: [decided(incident({ fault: { kind: 'operator', culprit: 'unknown', evidence: ['asked'] } }, {}))],
    rules: [],
  },
  { name: 'an incident opened twice', events: [opened, decided(tell('opened', 2))], rules: ['opened_once'] },
  { name: 'an incident changed before it is opened', events: [decided(tell('changed', 1))], rules: ['opened_once'] },
  { name: 'an incident opened and changed', events: [opened, decided(tell('changed', 2))], rules: [] },
  { name: 'an end that nobody is told of', events: [opened, decided(over)], rules: ['resolved_once'] },
  { name: 'an end that is told', events: [opened, decided(over, tell('resolved', 2))], rules: [] },
  {
    name: 'an end that is told twice',
    events: [opened, decided(over, tell('resolved', 2)), decided(tell('resolved', 3))],
    rules: ['resolved_once'],
  },
  {
    name: 'an end that is told too early',
    events: [opened, decided(incident({}), tell('resolved', 2))],
    rules: ['resolved_once'],
  },
  { name: 'a message left out', events: [opened, decided(tell('changed', 3))], rules: ['told_in_order'] },
  {
    name: 'a message that overtakes another',
    events: [opened, decided(tell('changed', 2)), arrival(2)],
    rules: ['told_in_order'],
  },
  {
    name: 'a message that arrives twice, in order',
    events: [opened, decided(tell('changed', 2)), arrival(1), arrival(1), arrival(2)],
    rules: [],
  },
  {
    name: 'a healer that does not look',
    events: [{ kind: 'ticked', lastSweepMs: -10_001, lagMs: 0 }],
    rules: ['healer_is_watched'],
  },
  {
    name: 'a healer that looked ten seconds ago',
    events: [{ kind: 'ticked', lastSweepMs: -10_000, lagMs: 0 }],
    rules: [],
  },
])('$name: $rules', ({ events, rules }) => {
  const { trace } = check()
  for (const event of events) trace.note(event)
  expect([...new Set(trace.violations.map((violation) => violation.rule))]).toEqual(rules)
})

test.each([
  { name: 'that still waits', events: [opened], waiting: ['i.webhook.1'], rules: [] },
  { name: 'that arrived', events: [opened, arrival(1)], waiting: [], rules: [] },
  { name: 'that did neither', events: [opened], waiting: [], rules: ['notifications_kept'] },
])('at the end, a message $name: $rules', ({ events, waiting, rules }) => {
  const { trace, checkers } = check()
  for (const event of events) trace.note(event)
  checkers.outbox('webhook', new Set(waiting))
  expect(trace.violations.map((violation) => violation.rule)).toEqual(rules)
})
