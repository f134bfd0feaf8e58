import { expect, test } from 'vitest'
import { modelUsage, poolSpec, runningAttempt } from '../../test/fixtures/specs.ts'
import type { AttemptObservation } from '../model/observation.ts'
import { foldAttempt } from './observe.ts'

const of = { replica: 'p/0', incarnation: 1, atMs: 50, taskId: 't', fence: 1 } as const
const usage = modelUsage()

test.each<{ name: string; observation: AttemptObservation; progressMs: number }>([
  {
    name: 'a model call is progress',
    observation: { ...of, kind: 'model_called', via: 'agent', usage },
    progressMs: 50,
  },
  {
    name: 'one that failed is none',
    observation: { ...of, kind: 'model_called', via: 'agent', usage: modelUsage({ failure: 'overloaded' }) },
    progressMs: 0,
  },
  { name: 'a user turn is', observation: { ...of, kind: 'user_turn' }, progressMs: 50 },
  { name: 'a compaction is none', observation: { ...of, kind: 'compacted', tokens: 1 }, progressMs: 0 },
])('$name', ({ observation, progressMs }) => {
  expect(foldAttempt(runningAttempt('t'), observation, poolSpec()).progressMs).toBe(progressMs)
})
