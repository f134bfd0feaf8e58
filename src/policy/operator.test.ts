import { describe, expect, test } from 'vitest'
import { dependencySpec, poolRow, poolSpec, readyReplica } from '../../test/fixtures/specs.ts'
import { viewAfter, viewOf } from '../../test/fixtures/view.ts'
import type { PoolHold } from '../model/change.ts'
import type { Fault } from '../model/fault.ts'
import type { Incident } from '../model/incident.ts'
import type { OperatorRequest } from '../model/observation.ts'
import type { FailureMark, PoolRow, ReplicaRow } from '../model/rows.ts'
import { newDependency, opened } from './breaker.ts'
import { onForced } from './dependency.ts'
import { openIncident } from './incident.ts'
import { onPoolCommand, onReplicaCommand, type PoolCommand } from './operator.ts'
import type { Outcome } from './outcome.ts'

type Request = OperatorRequest & { readonly command: PoolCommand }

const asked = (kind: 'hold' | 'resume'): Request => ({ id: 1, who: 'Ada', reason: 'why', command: { kind, pool: 'p' } })
const bySomebody: PoolHold = { cause: 'operator', sinceMs: 0, reason: 'Bob: because', incidentId: null }
const isDown = 'model provider llm: HTTP 503'

function effectsOf(outcome: Outcome): readonly unknown[] {
  return outcome.decisions.flatMap(({ effects }) => effects)
}

/** The ledger's rows about what people asked. */
function auditOf(outcome: Outcome): readonly unknown[] {
  return outcome.decisions.flatMap(({ changes }) => changes.filter(({ kind }) => kind === 'audit'))
}

describe('hold and resume of a pool', () => {
  test.each<{
    readonly name: string
    readonly kind: 'hold' | 'resume'
    readonly hold?: PoolHold
    readonly notReady?: string
    readonly forced?: readonly string[]
    readonly accepted: boolean
    readonly says: string
    readonly held: boolean
  }>([
    { name: 'a hold', kind: 'hold', accepted: true, says: 'none is started', held: true },
    {
      name: 'a hold of what a dependency holds already: it outlasts that',
      kind: 'hold',
      notReady: isDown,
      accepted: true,
      says: 'it stays so when what holds it besides is over (model provider llm: HTTP 503)',
      held: true,
    },
    { name: 'a second hold', kind: 'hold', hold: bySomebody, accepted: false, says: 'Bob: because', held: true },
    { name: 'a resume', kind: 'resume', hold: bySomebody, accepted: true, says: 'pool p resumed', held: false },
    { name: 'a resume of what nobody holds', kind: 'resume', accepted: false, says: 'is not held', held: false },
    {
      name: 'a resume of what only a dependency holds: refused, with the way out',
      kind: 'resume',
      notReady: isDown,
      accepted: false,
      says: 'held by nobody but its model provider llm: HTTP 503; it is let back in when that answers, or now by a forced resume',
      held: false,
    },
    {
      name: 'a resume of what both hold: the person lets go, the dependency does not',
      kind: 'resume',
      hold: bySomebody,
      notReady: isDown,
      accepted: true,
      says: 'resumed, but still held by its model provider llm: HTTP 503; it is let back in',
      held: false,
    },
    {
      name: 'a forced one of what only a dependency held',
      kind: 'resume',
      forced: ['llm'],
      accepted: true,
      says: 'pool p resumed, with llm taken for mended',
      held: false,
    },
    {
      name: 'a forced one of what both held',
      kind: 'resume',
      hold: bySomebody,
      forced: ['llm'],
      accepted: true,
      says: 'pool p resumed, with llm taken for mended',
      held: false,
    },
  ])('$name', ({ kind, hold = null, notReady = null, forced = [], accepted, says, held }) => {
    const pool: PoolRow = poolRow({ hold, notReady })
    const outcome = onPoolCommand({ pool, spec: poolSpec(), nowMs: 5, incidents: new Map(), forced }, asked(kind))
    const text = expect.stringContaining(says)
    const answer = accepted ? { kind: 'accepted', incidentId: null, text } : { kind: 'conflict', text }
    expect(effectsOf(outcome)).toEqual([{ kind: 'answer', request: 1, answer }])
    expect((outcome.pool ?? pool).hold !== null).toBe(held)
    expect((outcome.pool ?? pool).notReady).toBe(notReady)
    const audit = { kind: 'audit', atMs: 5, who: 'Ada', what: kind, target: 'p', reason: 'why' }
    expect(auditOf(outcome)).toEqual(accepted ? [audit] : [])
  })
})

test('what is forced back in is closed, thaws, and says who and why', () => {
  const row = opened(newDependency(dependencySpec({ name: 'llm' }), 0), 'HTTP 503', 0)
  const { outcome, turn } = onForced({ nowMs: 5_000, row, incidents: new Map(), poolNames: ['p'] }, asked('resume'))
  expect(turn).toBe('closed')
  expect(outcome.dependencies).toMatchObject([{ breaker: { kind: 'closed', thawedMs: 5_000 }, openedMs: [0] }])
  const audit = { kind: 'audit', atMs: 5_000, who: 'Ada', what: 'close_breaker', target: 'llm', reason: 'why' }
  expect(auditOf(outcome)).toEqual([audit])
})

describe('who is absolved', () => {
  const strikes = [{ atMs: 0, incidentId: 'i', minSlot: 0, taskId: null, dependency: null }]
  const mark = (replica: FailureMark['replica']): FailureMark => ({
    ...{ atMs: 0, kind: 'crashed', replica, taskId: 't', dependency: null },
    ...{ suspects: ['t'], awaited: [], counted: true, lost: true },
  })
  const fault: Fault = {
    ...{ kind: 'crashed', culprit: 'agent', pool: 'p', replica: 'p/0', incarnation: 1, taskId: null },
    ...{ dependency: null, firstSignMs: 0, evidence: ['exit code 1'] },
  }
  const incident = openIncident(fault, 0, 'p/0')
  const charged = readyReplica(0, { strikes, replacedMs: [1, 2], incidentId: incident.id, probationUntilMs: 60_000 })
  const pool = poolRow({ marks: [mark('p/0'), mark('p/1')], replacedMs: [1, 2, 3] })
  const absolved = (replica: ReplicaRow, status: Incident['status']) => {
    const view = viewOf({ nowMs: 5, pool, replica, incident: { ...incident, status } })
    const outcome = onReplicaCommand(view, { ...asked('hold'), command: { kind: 'absolve', replica: 'p/0' } })
    return { outcome, after: viewAfter(view, outcome) }
  }

  test('has no strikes, no marks and no replacements; those of others stay', () => {
    const { outcome, after } = absolved(charged, 'probation')
    expect(after.replica).toMatchObject({ strikes: [], replacedMs: [], incidentId: null, probationUntilMs: null })
    expect(after.pool.marks.map(({ replica }) => replica)).toEqual(['p/1'])
    expect(after.pool.replacedMs).toHaveLength(1)
    expect(outcome.incidents).toMatchObject([{ status: 'closed', closedMs: 5 }])
    expect(auditOf(outcome)).toMatchObject([{ what: 'absolve', target: 'p/0', who: 'Ada', reason: 'why' }])
  })

  test('and is still being mended goes on being mended', () => {
    const { outcome, after } = absolved(charged, 'open')
    expect(after.replica).toMatchObject({ strikes: [], incidentId: incident.id, probationUntilMs: 60_000 })
    expect(outcome.incidents).toEqual([])
  })

  test('but not who is quarantined: a person must look, and release it', () => {
    const { outcome, after } = absolved({ ...charged, phase: { kind: 'quarantined', sinceMs: 0 } }, 'needs_review')
    const text = 'p/0 is quarantined: release it'
    expect(effectsOf(outcome)).toEqual([{ kind: 'answer', request: 1, answer: { kind: 'conflict', text } }])
    expect(after.replica.strikes).toEqual(strikes)
    expect(auditOf(outcome)).toEqual([])
  })
})
