import { describe, expect, test } from 'vitest'
import { dependencySpec, poolRow, poolSpec, readyReplica } from '../../test/fixtures/specs.ts'
import type { Strike } from '../model/change.ts'
import type { Fault } from '../model/fault.ts'
import type { ReplicaRow } from '../model/rows.ts'
import { newDependency, opened } from './breaker.ts'
import { incidentId, openIncident } from './incident.ts'
import { onDown } from './pool-turn.ts'

const nowMs = 5_000
const spec = poolSpec({ dependsOn: ['llm'] })
const down = opened(newDependency(dependencySpec({ name: 'llm' }), 0), 'HTTP 503', nowMs)

/** The fault for which `p/0` goes, seen in the moment in which the dependency is found down. */
function faultOf(kind: Fault['kind'], dependency: string): Fault {
  return {
    ...{ kind, culprit: 'agent', pool: 'p', replica: 'p/0', incarnation: 1, taskId: null, dependency },
    ...{ firstSignMs: nowMs, evidence: ['no connection'] },
  }
}

const drains: ReplicaRow['phase'] = { kind: 'draining', untilMs: 35_000, after: 'restart' }
const strike: Strike = {
  ...{ atMs: nowMs, incidentId: incidentId('p/0', nowMs), minSlot: 2, taskId: null, dependency: 'llm' },
}

describe('a replica that goes because it alone seemed cut off, when the dependency is found down for everybody', () => {
  test.each<{
    readonly name: string
    readonly kind?: Fault['kind']
    readonly dependency?: string
    readonly phase?: ReplicaRow['phase']
    readonly incidentId?: string
    readonly after: { readonly phase: string; readonly culprit: string; readonly strikes: number }
  }>([
    { name: 'stays, and nobody is charged', after: { phase: 'ready', culprit: 'dependency', strikes: 0 } },
    {
      name: 'on its way out for good: it goes, and nobody is charged',
      phase: { ...drains, after: 'remove' },
      after: { phase: 'draining', culprit: 'dependency', strikes: 0 },
    },
    {
      name: 'which stops already: it is too late, and nobody is charged',
      phase: { kind: 'stopping', sinceMs: 0, giveUpAtMs: 9_000, after: 'restart' },
      after: { phase: 'stopping', culprit: 'dependency', strikes: 0 },
    },
    {
      name: 'which leaks besides: it goes, it would have gone anyway',
      kind: 'leaking',
      after: { phase: 'draining', culprit: 'dependency', strikes: 0 },
    },
    {
      name: 'which drains for another incident: it goes',
      incidentId: 'another',
      after: { phase: 'draining', culprit: 'dependency', strikes: 0 },
    },
    {
      name: 'cut off from something else: nothing changes',
      dependency: 'database',
      after: { phase: 'draining', culprit: 'agent', strikes: 1 },
    },
  ])('$name', ({ kind = 'llm_unavailable', dependency = 'llm', phase = drains, incidentId: id, after }) => {
    const incident = openIncident(faultOf(kind, dependency), nowMs, 'p/0')
    const row = readyReplica(0, { phase, strikes: [{ ...strike, dependency }], incidentId: id ?? incident.id })
    const incidents = new Map([[incident.id, incident]])
    const dependencies = new Map([['llm', down]])
    const view = { nowMs, spec, pool: poolRow(), replicas: [row], attempts: [], incidents, dependencies }
    const outcome = onDown(view, down)
    const replica = outcome.replicas.at(-1) ?? row
    expect({
      phase: replica.phase.kind,
      culprit: (outcome.incidents.at(-1) ?? incident).fault.culprit,
      strikes: replica.strikes.length,
    }).toEqual(after)
  })

  test('its incident says so, and it has to prove itself', () => {
    const incident = openIncident(faultOf('llm_unavailable', 'llm'), nowMs, 'p/0')
    const row = readyReplica(0, { phase: drains, incidentId: incident.id })
    const incidents = new Map([[incident.id, incident]])
    const dependencies = new Map([['llm', down]])
    const outcome = onDown(
      { nowMs, spec, pool: poolRow(), replicas: [row], attempts: [], incidents, dependencies },
      down,
    )
    expect(outcome.incidents).toMatchObject([{ status: 'probation', recoveredMs: nowMs }])
    expect(outcome.incidents[0]?.timeline.at(-1)?.text).toBe('p/0 stays: it is not alone')
    expect(outcome.replicas.at(-1)?.probationUntilMs).toBe(nowMs + spec.recovery.probationMs)
  })
})
