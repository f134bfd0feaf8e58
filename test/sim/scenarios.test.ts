import { expect, test } from 'vitest'
import { createRandom } from './random.ts'
import { describeFailure, type SimulationResult, simulate } from './run.ts'
import { basicPool, calmScenario, type Scenario } from './scenario.ts'
import { fromInput, type StepScript, type TaskScript } from './script.ts'
import type { Checker, TraceEvent } from './trace.ts'

const step: StepScript = {
  name: 'step',
  kind: 'step',
  ms: 2_000,
  repeat: 'safe_to_retry',
  progressMs: null,
  timeoutMs: null,
  blocking: false,
  uses: null,
  seen: null,
}
const plain: TaskScript = { steps: [step, { ...step, name: 'next' }], failures: 0, poison: null }

interface Counted {
  readonly result: SimulationResult
  /** Effects of each kind. */
  readonly effects: Readonly<Record<string, number>>
}

async function play(replicas: number, changes: Partial<Scenario>, seed = 7): Promise<Counted> {
  const effects: Record<string, number> = {}
  const watch: Checker = {
    rule: 'count',
    sees: ['effect'],
    see(event: TraceEvent) {
      if (event.kind === 'effect') effects[event.effect.kind] = (effects[event.effect.kind] ?? 0) + 1
    },
  }
  const scenario = calmScenario(basicPool('pool', replicas, 1), createRandom(seed), changes)
  const result = await simulate({ seed, scenario, watch })
  expect(result.violations.length === 0 ? '' : describeFailure(result)).toBe('')
  return { result, effects }
}

test('a task with twenty minutes of progress is never touched', async () => {
  const slow = { ...plain, steps: [{ ...step, ms: 20 * 60_000, progressMs: 30_000 }] }
  const { result, effects } = await play(2, { tasks: [slow], lengthMs: 25 * 60_000 })
  expect(result.statuses).toEqual({ done: 1 })
  expect(effects.terminate ?? 0).toBe(0)
  expect(effects.reset ?? 0).toBe(0)
})

test('replicas starved by their neighbours are never killed', async () => {
  const { result, effects } = await play(4, { tasks: Array(20).fill(plain), meansMs: new Map([['starve', 5_000]]) })
  expect(result.statuses).toEqual({ done: 20 })
  expect(effects.terminate ?? 0).toBe(0)
})

test('a supervisor that is stopped again and again, for up to thirty seconds, kills nobody on waking', async () => {
  const { result, effects } = await play(4, {
    tasks: Array(60).fill(plain),
    meansMs: new Map([['supervisor_pause', 20_000]]),
  })
  expect(result.statuses).toEqual({ done: 60 })
  expect(effects.terminate ?? 0).toBe(0)
})

test('an outage of what everybody depends on restarts nobody', async () => {
  const { result, effects } = await play(4, { tasks: Array(60).fill(plain), meansMs: new Map([['outage', 30_000]]) })
  expect(result.statuses).toEqual({ done: 60 })
  expect(effects.terminate ?? 0).toBe(0)
  expect(effects.spawn).toBe(4)
})

test('a task that ends every replica goes to the dead letters; everything else is done and nobody is quarantined', async () => {
  const poison: TaskScript = { ...plain, poison: 'crash' }
  const { result, effects } = await play(5, { tasks: [...Array(20).fill(plain), poison, ...Array(20).fill(plain)] })
  expect(result.statuses).toEqual({ done: 40, dead_letter: 1 })
  expect(effects.spawn).toBe(5 + 3)
})

test('tasks survive a supervisor that dies all the time, and the sink accepts each effect once', async () => {
  const { result } = await play(4, { tasks: Array(60).fill(plain), meansMs: new Map([['supervisor_crash', 10_000]]) })
  expect(result.statuses).toEqual({ done: 60 })
  expect(result.posts.accepted).toBe(120)
  expect(result.posts.old_fence).toBe(0)
})

test('a suspect task gets a replica to itself although the queue never empties and the supervisor was restarted', async () => {
  const pool = basicPool('pool', 2, 2)
  const backoff = { ...pool.retry.backoff, baseMs: 30_000, jitter: 0 }
  // Its first attempt costs a replica and its second fails: for a minute it waits to be due, then for an idle replica.
  const suspect: TaskScript = { ...plain, failures: 2 }
  const others = Array.from({ length: 400 }, (_, at) => ({
    ...plain,
    steps: [{ ...step, ms: 3_000 + 7 * (at % 150) }],
  }))
  const sentMs: number[] = []
  let sentAfterwards = 0
  const watch: Checker = {
    rule: 'sent',
    sees: ['effect'],
    see(event, atMs) {
      if (event.kind !== 'effect' || event.effect.kind !== 'dispatch') return
      if (fromInput(event.effect.lease.input).failures === suspect.failures) sentMs.push(atMs)
      else if (sentMs.length === 3) sentAfterwards++
    },
  }
  const scenario = calmScenario({ ...pool, retry: { ...pool.retry, backoff } }, createRandom(7), {
    tasks: [suspect, ...others],
    deeds: [
      { atMs: 2_000, kind: 'crash_holder', task: 0 },
      { atMs: 25_000, kind: 'crash_supervisor' },
    ],
  })
  const result = await simulate({ seed: 7, scenario, watch })
  expect(result.violations.length === 0 ? '' : describeFailure(result)).toBe('')
  const [, second = 0, third = Number.POSITIVE_INFINITY] = sentMs
  expect(third - second).toBeGreaterThan(60_000)
  expect(third - second).toBeLessThan(80_000)
  expect(sentAfterwards).toBeGreaterThan(100)
})
