import type { Incident } from '../../src/model/incident.ts'
import { createRandom } from '../../test/sim/random.ts'
import { describeFailure, simulate } from '../../test/sim/run.ts'
import { basicPool, calmScenario, type Scenario } from '../../test/sim/scenario.ts'
import type { Checker, TraceEvent } from '../../test/sim/trace.ts'
import type { KindName } from './attribution-kinds.ts'
import { background, plots, type Setting, sharedDependency } from './attribution-plots.ts'
import { Courses, type Trial, trialOf } from './attribution-verdict.ts'

const lengthMs = 6 * 60_000
const arrivalsMs = 4 * 60_000

/** One fault in one pool, through the real runtime and policy, with all checkers on. */
export async function trySimulated(kind: KindName, seed: number): Promise<Trial> {
  const watch = new Watch()
  const { scenario, ownTask } = scenarioOf(kind, seed, ({ machine }) => watch.strike(machine.parts.clock.nowMs()))
  const result = await simulate({ seed, scenario, watch })
  if (result.violations.length > 0)
    throw new Error(describeFailure(result, `npm run bench -- attribution --runs 1 --seed ${seed} (${kind})`))
  return trialOf(kind, seed, watch.courses.list, watch.isCharged(ownTask))
}

function scenarioOf(
  kind: KindName,
  seed: number,
  struck: Setting['struck'],
): { readonly scenario: Scenario; readonly ownTask: number } {
  // Not in step with the seed of the world itself, which draws chances of its own.
  const random = createRandom(seed ^ 0xa77b)
  // The shape first: it may depend on the kind, and the plot on it.
  const shape = plots[kind](settingOf(random.fork(), 2, 1, 0, struck))
  const replicas = random.between(...(shape.replicas ?? [1, 6]))
  const concurrency = random.between(...(shape.concurrency ?? [1, random.pick([1, 1, 3])]))
  const pool = { ...basicPool('pool', replicas, concurrency), ...shape.pool }
  const uses = shape.uses ?? (random.chance(0.5) ? {} : null)
  const needs = pool.dependsOn.length === 0 ? [sharedDependency] : []
  const tasks = background(
    random,
    { places: replicas * concurrency, forMs: arrivalsMs, uses, share: shape.share ?? 0.7 },
    needs,
  )
  const plot = plots[kind](settingOf(random, replicas, concurrency, tasks.length, struck))
  const calm = calmScenario(pool, random, {
    ...{ lengthMs, deeds: plot.deeds ?? [], meansMs: plot.meansMs ?? new Map() },
    tasks: plot.task === undefined ? tasks : [...tasks, plot.task],
  })
  const dependencies = calm.dependencies.map((spec) => ({
    ...{ ...spec, role: 'model_provider', critical: true },
    ...plot.dependency,
  }))
  return { scenario: { ...calm, dependencies } as Scenario, ownTask: tasks.length }
}

function settingOf(
  random: ReturnType<typeof createRandom>,
  replicas: number,
  concurrency: number,
  taskCount: number,
  struck: Setting['struck'],
) {
  const victim = `pool/${random.between(0, replicas - 1)}` as const
  return { random, replicas, concurrency, victim, atMs: random.between(60_000, 120_000), taskCount, struck }
}

/** Reads the ledger: what was said of whom since the fault, and who was charged. */
class Watch implements Checker {
  readonly rule = 'attribution'
  readonly sees = ['committed', 'submitted'] as const
  readonly courses = new Courses()
  private struckMs: number | null = null
  private readonly taskIds: string[] = []
  private readonly charged = new Set<string>()

  strike(atMs: number): void {
    this.struckMs ??= atMs
  }

  isCharged(task: number): boolean {
    return this.charged.has(this.taskIds[task] ?? '')
  }

  see(event: TraceEvent, atMs: number): void {
    if (event.kind === 'submitted') for (const outcome of event.outcomes) this.submitted(outcome)
    if (event.kind !== 'committed') return
    event.batch.decisions.forEach((changes, at) => {
      if (event.result.outcomes[at] !== 'applied') return
      for (const change of changes) {
        if (change.kind === 'incident') this.incident(change.incident, atMs)
        if (change.kind === 'end_attempt' && change.counted) this.charged.add(change.taskId)
      }
    })
  }

  private submitted(outcome: (TraceEvent & { readonly kind: 'submitted' })['outcomes'][number]): void {
    if (outcome.kind === 'created') this.taskIds.push(outcome.id)
  }

  private incident(incident: Incident, atMs: number): void {
    this.courses.see(incident, this.struckMs ?? atMs, atMs)
  }
}
