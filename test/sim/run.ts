import { isFinal } from '../../src/model/task.ts'
import { createCheckers } from './checkers.ts'
import { createRandom } from './random.ts'
import { drawScenario, type FaultName, without } from './scenario.ts'
import type { Violation } from './trace.ts'
import { type Bugs, World } from './world.ts'

export interface SimulationOptions {
  readonly seed: number
  readonly bugs?: Bugs
  /** Faults to leave out, to find out which one it takes. */
  readonly without?: readonly FaultName[]
  /** Folds the whole history into `fingerprint`. */
  readonly keepsHash?: boolean
}

export interface SimulationResult {
  readonly seed: number
  readonly violations: readonly Violation[]
  readonly fingerprint: number
  readonly simulatedMs: number
  readonly eventCount: number
  readonly ticks: number
  readonly taskCount: number
  readonly posts: Readonly<Record<'accepted' | 'old_fence' | 'repeated_key', number>>
  /** The newest lines of the history. */
  readonly lines: readonly string[]
}

/** How long everything may take to drain once nothing goes wrong any more, ms. */
const drainMs = 3 * 3_600_000
/** How often a person looks after it, ms. */
const tidyEveryMs = 60_000

/** One seed, from the first moment to the drained queue. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const scenario = without(drawScenario(createRandom(options.seed ^ 0x5eed)), options.without ?? [])
  const world = new World({ seed: options.seed, scenario, bugs: options.bugs ?? {}, keepsHash: options.keepsHash ?? false })
  const { trace, clock } = world
  const startedMs = clock.nowMs()
  const checkers = createCheckers(trace, scenario)
  trace.read(checkers.all)
  await world.run(startedMs + scenario.lengthMs, () => trace.violations.length > 0)
  world.stopFaults()
  const endMs = clock.nowMs() + drainMs
  let drained = false
  while (!drained && clock.nowMs() < endMs && trace.violations.length === 0) {
    await world.run(clock.nowMs() + tidyEveryMs, () => trace.violations.length > 0)
    drained = (await openTasks(world)).length === 0
    if (!drained) await world.tidyUp()
  }
  if (trace.violations.length === 0) await checkEnd(world, checkers.end)
  return {
    seed: options.seed,
    violations: trace.violations,
    fingerprint: trace.fingerprint,
    simulatedMs: clock.nowMs() - startedMs,
    eventCount: trace.eventCount,
    ticks: world.ticks,
    taskCount: world.acknowledged.length,
    posts: world.sink.counts,
    lines: trace.violations.length > 0 ? trace.lines() : [],
  }
}

async function openTasks(world: World): Promise<readonly string[]> {
  const open: string[] = []
  for (const id of world.acknowledged) {
    const task = await world.store.task(id)
    if (task === null || !isFinal(task.status)) open.push(id)
  }
  return open
}

/** Nothing that was acknowledged is lost, and everything has ended in a way that can be explained (R8, drain). */
async function checkEnd(world: World, end: (taskId: string, task: Awaited<ReturnType<World['store']['task']>>) => void): Promise<void> {
  for (const id of world.acknowledged) end(id, await world.store.task(id))
}

/** The one line that plays a failure again. */
export function reproduce(seed: number): string {
  return `SIM_SEED=${seed} npx vitest run test/sim -t 'fresh seeds'`
}

export function describeFailure(result: SimulationResult): string {
  const what = result.violations.map((violation) => `  ${violation.rule} at ${(violation.atMs / 1000).toFixed(3)}: ${violation.text}`)
  return [`seed ${result.seed} broke ${result.violations.length} rule(s):`, ...what, `play it again: ${reproduce(result.seed)}`, 'the last lines:', ...result.lines].join('\n')
}
