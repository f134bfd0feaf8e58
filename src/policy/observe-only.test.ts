import { expect, test } from 'vitest'
import { poolSpec, readyReplica, recovery, runningAttempt } from '../../test/fixtures/specs.ts'
import { effectsOf, viewAfter, viewOf } from '../../test/fixtures/view.ts'
import type { Ending } from '../model/rows.ts'
import { decideReplica } from './decide.ts'
import { onFault } from './recover.ts'

const spec = poolSpec({ recovery: { ...recovery, mode: 'observe' } })
const ending: Ending = { outcome: 'cancelled', counted: false, lost: false, error: null, evidence: [], finish: null }

test('a task that does not let go of what a person cancelled is said once, and its replica lives', () => {
  const attempt = runningAttempt('t', { phase: { kind: 'returning', untilMs: 0, ending, sinceMs: 0 } })
  const before = viewOf({ spec, attempts: [attempt] })
  const { outcome } = decideReplica(before)
  expect(effectsOf(outcome)).toEqual([])
  expect(outcome?.incidents.map(({ fault, actions }) => [fault.kind, actions[0]?.status])).toEqual([
    ['stalled', 'observed'],
  ])
  expect(decideReplica(viewAfter(before, outcome)).outcome?.incidents ?? []).toEqual([])
})

test('two things seen of a replica in one moment are two incidents', () => {
  const sign = { evidence: ['seen'], firstSignMs: 0, attempt: null, error: null, gone: false, needsHard: true } as const
  const view = viewOf({ spec, replica: readyReplica() })
  const ids = (['protocol_violation', 'unresponsive'] as const).flatMap((kind) =>
    onFault(view, { ...sign, kind }).incidents.map(({ id }) => id),
  )
  expect(new Set(ids).size).toBe(2)
})
