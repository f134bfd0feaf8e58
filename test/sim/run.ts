import { isFinal } from '../../src/model/task.ts'
import { createCheckers } from './checkers.ts'
import { notify } from './notifiers.ts'
import { createRandom } from './random.ts'
import { drawScenario, type FaultName, type Scenario, without } from './scenario.ts'
import type { Sweep } from './sweep.ts'
import type { Checker, Violation } from './trace.ts'
import { type Bugs, World } from './world.ts'

export interface SimulationOptions {
  readonly seed: number
  readonly bugs?: Bugs
  /** Instead of the one that the seed draws. */
  readonly scenario?: Scenario
  /** Sees the history beside the checkers. */
  readonly watch?: Checker
  /** Faults to leave out, to find out which one it takes. */
  readonly without?: readonly FaultName[]
  /** Folds the whole history into `fingerprint`. */
  readonly keepsHash?: boolean
  /** Numbers the supervisor's calls, and strikes one. */
  readonly sweep?: Sweep
}

export interface SimulationResult {
  readonly seed: number
  readonly violations: readonly Violation[]
  readonly fingerprint: number
  readonly simulatedMs: number
  readonly eventCount: number
  readonly taskCount: number
  /** How the acknowledged tasks have ended. */
  readonly statuses: Readonly<Record<string, number>>
  readonly posts: Readonly<Record<'accepted' | 'old_fence' | 'repeated_key', number>>
  /** The newest lines of the history. */
  readonly lines: readonly string[]
}

/** How long everything may take to drain once nothing goes wrong any more, ms. */
const drainMs = 3 * 3_600_000
/** How often a person looks after it, ms. */
const tidyEveryMs = 30_000

/** One seed, from the first moment to the drained queue. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const drawn = options.scenario ?? drawScenario(createRandom(options.seed ^ 0x5eed))
  const scenario = without(drawn, options.without ?? [])
  const world = new World({
    seed: options.seed,
    scenario,
    bugs: options.bugs ?? {},
    keepsHash: options.keepsHash ?? false,
    sweep: options.sweep ?? null,
  })
  const { trace, clock } = world
  const startedMs = clock.nowMs()
  const checkers = createCheckers(trace, scenario)
  trace.read(checkers.all)
  if (options.watch !== undefined) trace.read([options.watch])
  await world.run(startedMs + scenario.lengthMs, () => trace.violations.length > 0)
  await drain(world)
  if (trace.violations.length === 0) {
    for (const id of world.acknowledged) checkers.end(id, await world.store.task(id))
    for (const { name } of notify) {
      const { rows } = await world.store.outbox(name, Number.POSITIVE_INFINITY)
      checkers.outbox(name, new Set(rows.map(({ notification }) => notification.id)))
    }
  }
  return {
    seed: options.seed,
    violations: trace.violations,
    fingerprint: trace.fingerprint,
    simulatedMs: clock.nowMs() - startedMs,
    eventCount: trace.eventCount,
    taskCount: world.acknowledged.length,
    statuses: await statuses(world),
    posts: world.sink.counts,
    lines: trace.violations.length > 0 ? trace.lines() : [],
  }
}

/** Faults stop, a person looks after what is held or quarantined, and everything acknowledged must end. */
async function drain(world: World): Promise<void> {
  const { trace, clock } = world
  world.stopFaults()
  const endMs = clock.nowMs() + drainMs
  while (clock.nowMs() < endMs && trace.violations.length === 0 && (await hasOpenTasks(world))) {
    await world.tidyUp()
    await world.run(clock.nowMs() + tidyEveryMs, () => trace.violations.length > 0)
  }
}

async function hasOpenTasks(world: World): Promise<boolean> {
  for (const id of world.acknowledged) {
    const task = await world.store.task(id)
    if (task === null || !isFinal(task.status)) return true
  }
  return false
}

async function statuses(world: World): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {}
  for (const id of world.acknowledged) {
    const status = (await world.store.task(id))?.status ?? 'lost'
    counts[status] = (counts[status] ?? 0) + 1
  }
  return counts
}

/** The one line that plays a failure again. */
export function reproduce(seed: number): string {
  return `SIM_SEED=${seed} npx vitest run test/sim -t 'fresh seeds'`
}

export function describeFailure(result: SimulationResult, again = reproduce(result.seed)): string {
  const what = result.violations.map(
    (violation) => `  ${violation.rule} at ${(violation.atMs / 1000).toFixed(3)}: ${violation.text}`,
  )
  return [
    `seed ${result.seed} broke ${result.violations.length} rule(s):`,
    ...what,
    `play it again: ${again}`,
    'the last lines:',
    ...result.lines,
  ].join('\n')
}
