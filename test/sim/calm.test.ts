import { describe, expect, test } from 'vitest'
import { createRandom } from './random.ts'
import { describeFailure, type SimulationResult, simulate } from './run.ts'
import { basicPool, calmScenario } from './scenario.ts'
import type { StepScript, TaskScript } from './script.ts'
import type { Checker } from './trace.ts'

const hourMs = 3_600_000
const lengthMs = 8 * hourMs
const replicas = 12
const timeoutMs = 120_000

const call: StepScript = {
  ...{ name: 'call', kind: 'tool', ms: 500, repeat: 'safe_to_retry', progressMs: null, timeoutMs: null },
  ...{ blocking: false, uses: null, seen: null },
}
const of = (count: number, step: (at: number) => StepScript): TaskScript => ({
  steps: Array.from({ length: count }, (_, at) => step(at)),
  ...{ failures: 0, poison: null },
})
const page = (at: number): StepScript => ({ ...call, seen: { poll: false, args: `page ${at}`, result: `text ${at}` } })
const inbox: StepScript = { ...call, ms: 5_000, seen: { poll: true, args: 'inbox', result: 'nothing yet' } }

/** Work that a hasty healer takes for faults, and how much of it there is in eight hours. */
const kinds = {
  busy: { count: 2_000, task: of(20, (at) => ({ ...call, name: `step${at}`, kind: 'step', ms: 300 })) },
  slow: {
    count: 60,
    task: of(1, () => ({ ...call, name: 'long', kind: 'step', ms: 20 * 60_000, progressMs: 50_000 })),
  },
  polling: { count: 100, task: of(120, () => inbox) },
  batching: { count: 500, task: of(60, page) },
  bursty: { count: 1_000, task: of(4, (at) => ({ ...call, name: `step${at}`, kind: 'step', ms: 50 })) },
}
const tasks = Object.values(kinds).flatMap(({ count, task }) => Array<TaskScript>(count).fill(task))

interface Seen {
  readonly actions: Record<string, number>
  readonly statuses: SimulationResult['statuses']
}

async function eightHours(more: readonly TaskScript[]): Promise<Seen> {
  const actions: Record<string, number> = {}
  const count = (what: string): void => {
    actions[what] = (actions[what] ?? 0) + 1
  }
  const acts = new Set(['nudge', 'compact', 'reset', 'terminate'])
  const watch: Checker = {
    rule: 'calm',
    sees: ['effect', 'committed', 'notified'],
    see(event) {
      if (event.kind === 'notified') count('notification')
      if (event.kind === 'effect' && acts.has(event.effect.kind)) count(event.effect.kind)
      if (event.kind !== 'committed') return
      for (const change of event.batch.decisions.flat()) if (change.kind === 'incident') count('incident')
    },
  }
  const seed = 8
  const scenario = calmScenario(basicPool('pool', replicas, 1), createRandom(seed), {
    tasks: [...more, ...tasks],
    // What its neighbours take away: the processor, for seconds.
    meansMs: new Map([['starve', 5 * 60_000]]),
    lengthMs,
  })
  const result = await simulate({ seed, scenario, watch })
  expect(result.violations.length === 0 ? '' : describeFailure(result)).toBe('')
  return { actions, statuses: result.statuses }
}

describe('eight hours', () => {
  test('of busy, bursty, slow, polling and batching agents: nobody is touched, nobody is told', {
    timeout: timeoutMs,
  }, async () => {
    const { actions, statuses } = await eightHours([])
    expect(actions).toEqual({})
    expect(statuses).toEqual({ done: tasks.length })
  })

  test('with one of them that goes in circles: that one is noticed', {
    timeout: timeoutMs,
  }, async () => {
    const { actions } = await eightHours([{ ...of(1, page), habit: 'circles' }])
    expect(Object.keys(actions)).toEqual(expect.arrayContaining(['incident', 'nudge', 'reset']))
  })
})
