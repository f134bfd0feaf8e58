import { expect, test } from 'vitest'
import type { Deed } from './deeds.ts'
import { createRandom } from './random.ts'
import { describeFailure, type SimulationResult, simulate } from './run.ts'
import { basicPool, calmScenario, type Scenario } from './scenario.ts'
import type { DependencyUse, StepScript, TaskScript } from './script.ts'
import type { Checker, TraceEvent } from './trace.ts'

const call: StepScript = {
  ...{ name: 'call', kind: 'step', ms: 2_000, repeat: 'safe_to_retry', progressMs: null, timeoutMs: null },
  blocking: false,
  uses: null,
  seen: null,
}

function using(unanswered: DependencyUse['unanswered'], declared: boolean): TaskScript {
  const uses = { declared, unanswered, timeoutMs: 10_000, tries: 1 }
  return {
    steps: [
      { ...call, uses },
      { ...call, name: 'next' },
    ],
    failures: 0,
    poison: null,
  }
}

/** Every way to notice that there is no answer. */
const mixed = [using('fails', true), using('fails', false), using('gives_up', true), using('hangs', false)]

class Tally implements Checker {
  readonly rule = 'tally'
  readonly sees = ['effect', 'committed', 'notified'] as const
  readonly effects: Record<string, number> = {}
  /** Attempts charged to tasks, less what was given back. */
  charged = 0
  quarantines = 0
  /** Times that it was found down. */
  openings = 0
  private isDown = false
  readonly alerts = new Set<string>()

  see(event: TraceEvent): void {
    if (event.kind === 'effect') this.effects[event.effect.kind] = (this.effects[event.effect.kind] ?? 0) + 1
    else if (event.kind === 'notified') {
      const { id, severity } = event.notification
      if (event.to === 'webhook' && severity !== 'info') this.alerts.add(id)
    } else if (event.kind === 'committed') {
      for (const change of event.batch.decisions.flat()) {
        if (change.kind === 'end_attempt' && change.counted && change.outcome !== 'done') this.charged += 1
        else if (change.kind === 'refund') this.charged -= change.attempts
        else if (change.kind === 'dependency') {
          const isDown = change.record.down !== null
          if (isDown && !this.isDown) this.openings += 1
          this.isDown = isDown
        } else if (change.kind === 'replica' && change.record.quarantined) this.quarantines += 1
      }
    }
  }
}

async function play(changes: Partial<Scenario>, replicas = 4): Promise<{ result: SimulationResult; tally: Tally }> {
  const tally = new Tally()
  const calm = calmScenario(basicPool('pool', replicas, 2), createRandom(7), changes)
  const dependencies = calm.dependencies.map((spec) => ({ ...spec, role: 'model_provider', critical: true }) as const)
  const result = await simulate({ seed: 7, scenario: { ...calm, dependencies }, watch: tally })
  expect(result.violations.length === 0 ? '' : describeFailure(result)).toBe('')
  return { result, tally }
}

/** Four processes from beginning to end, nothing charged, and people told that it is out, and that it is over. */
function untouched({ charged, effects, quarantines, alerts }: Tally): void {
  const { spawn, terminate = 0 } = effects
  expect({ charged, spawn, terminate, quarantines, alerts: alerts.size }).toEqual({
    ...{ charged: 0, spawn: 4, terminate: 0, quarantines: 0, alerts: 2 },
  })
}

function load(count: number, scripts: readonly TaskScript[] = mixed): readonly TaskScript[] {
  return Array.from({ length: Math.ceil(count / scripts.length) }, () => scripts)
    .flat()
    .slice(0, count)
}

function outage(atMs: number, forMs: number): Deed {
  return { atMs, kind: 'break_dependency', forMs }
}

test('a provider that is out for half an hour under load restarts nobody, and costs no attempt and no task', async () => {
  const { result, tally } = await play({
    tasks: load(400),
    deeds: [outage(60_000, 30 * 60_000)],
    lengthMs: 40 * 60_000,
  })
  expect(result.statuses).toEqual({ done: 400 })
  untouched(tally)
  expect(tally.effects.reset ?? 0).toBe(0)
})

test('a provider that flaps every thirty seconds for ten minutes restarts nobody, and people hear of it twice', async () => {
  const flaps = Array.from({ length: 10 }, (_, at) => outage(30_000 + at * 60_000, 30_000))
  const { result, tally } = await play({ tasks: load(1_000), deeds: flaps, lengthMs: 25 * 60_000 })
  expect(result.statuses).toEqual({ done: 1_000 })
  untouched(tally)
})

test.each([5, 30])(
  'a provider that is out for %i minutes, and whose check never sees it: the same bars',
  async (minutes) => {
    const { result, tally } = await play({
      tasks: load(400),
      isUnseen: true,
      deeds: [outage(60_000, minutes * 60_000)],
      lengthMs: (minutes + 10) * 60_000,
    })
    expect(result.statuses).toEqual({ done: 400 })
    untouched(tally)
    expect(tally.effects.reset ?? 0).toBe(0)
    expect(tally.openings).toBe(1)
  },
)

test.each([
  { name: 'one of four: its siblings get through', replicas: 4, tasks: 200 },
  { name: "the only one: the node's check speaks for the others", replicas: 1, tasks: 60 },
])('a replica that has lost its connections is replaced, the provider left in peace: $name', async (row) => {
  const { result, tally } = await play(
    {
      tasks: load(row.tasks, [using('fails', true)]),
      deeds: [{ atMs: 20_000, kind: 'sever', replica: 'pool/0' }],
    },
    row.replicas,
  )
  expect(result.statuses).toEqual({ done: row.tasks })
  expect(tally.effects.spawn).toBe(row.replicas + 1)
  expect(tally.effects.terminate).toBe(1)
  expect(tally.quarantines).toBe(0)
})

test('who lost its connections when nobody gets new ones is not replaced, though its siblings live on their old ones', async () => {
  const quick = { ...call, ms: 2, uses: { declared: true, unanswered: 'fails', timeoutMs: 10_000, tries: 1 } } as const
  const { result, tally } = await play({
    tasks: load(3_000, [{ steps: [quick], failures: 0, poison: null }]),
    deeds: [{ atMs: 3_000, kind: 'break_dependency', forMs: 60_000, keptBy: ['pool/1', 'pool/2', 'pool/3'] }],
  })
  expect(result.statuses).toEqual({ done: 3_000 })
  expect(tally.charged).toBe(0)
  expect(tally.effects.spawn).toBe(4)
  expect(tally.effects.terminate ?? 0).toBe(0)
  // That it is out, and that it is over.
  expect(tally.alerts.size).toBe(2)
})
