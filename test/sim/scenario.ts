import { defaultBreaker } from '../../src/config/defaults.ts'
import { defaultDetect } from '../../src/model/detect.ts'
import type { PoolSpec } from '../../src/model/pool.ts'
import type { DependencySpec, ProbeSpec } from '../../src/model/probe.ts'
import type { RepeatWord } from '../../src/model/task.ts'
import type { Deed } from './deeds.ts'
import type { SimRandom } from './random.ts'
import type { DependencyUse, Poison, StepScript, TaskScript } from './script.ts'

/** What can go wrong from outside, each a stream of its own. */
export const faultNames = [
  'crash',
  'exit_clean',
  'out_of_memory',
  'loop',
  'stop',
  'starve',
  'disk',
  'violation',
  'supervisor_crash',
  'supervisor_pause',
  'store_failure',
  'store_slow',
  'outage',
  'operator',
  'sever',
] as const
export type FaultName = (typeof faultNames)[number]

/** Chances inside a process, each in [0, 1]. */
export interface Chances {
  readonly startFails: number
  readonly stalls: number
  readonly ignoresSignal: number
  readonly rejects: number
  readonly haunts: number
  readonly ignoresTerm: number
  readonly losesResetAnswer: number
  readonly failsReset: number
  readonly poison: number
}

/** Everything that one seed decides before the first moment. */
export interface Scenario {
  readonly pools: readonly PoolSpec[]
  readonly dependencies: readonly DependencySpec[]
  /** Mean time between two faults of a kind, ms; what is not named does not happen. */
  readonly meansMs: ReadonlyMap<FaultName, number>
  readonly chances: Chances
  /** Mean time between two submits, ms. */
  readonly submitMeanMs: number
  readonly mostTasks: number
  /** Share of the calls that use the dependency. */
  readonly uses: number
  /** The dependency's check passes all the while: it is no witness. */
  readonly isUnseen: boolean
  /** What is submitted at the start, to the first pool; on top of the load. */
  readonly tasks?: readonly TaskScript[]
  /** What happens at its time, whatever chance says. */
  readonly deeds?: readonly Deed[]
  /** How long faults and load last, ms. Then everything must drain. */
  readonly lengthMs: number
}

export const dependency = 'provider'

export function drawScenario(random: SimRandom): Scenario {
  const poolCount = random.chance(0.25) ? 2 : 1
  const pools = Array.from({ length: poolCount }, (_, at) => drawPool(random, `pool${at}`))
  const meansMs = new Map<FaultName, number>()
  const fierceness = random.pick([0.5, 1, 2, 4])
  for (const name of faultNames)
    if (name !== 'sever' && random.chance(0.35)) meansMs.set(name, (random.between(15, 120) * 1_000) / fierceness)
  const drawn = {
    dependencies: [drawDependency(random)],
    chances: drawChances(random),
    submitMeanMs: random.between(500, 8_000),
    mostTasks: random.between(20, 160),
    lengthMs: random.between(2, 6) * 60_000,
  }
  // After everything else, so that the rest of a seed stays what it was before there was this.
  const uses = random.chance(0.7) ? random.next() : 0
  if (random.chance(0.3)) meansMs.set('sever', random.between(30, 120) * 1_000)
  if (random.chance(0.3)) meansMs.set('outage', random.between(30, 120) * 1_000)
  const free = random.chance(0.3) ? pools.length - 1 : Number.POSITIVE_INFINITY
  const observed = random.chance(0.15) ? random.between(0, pools.length - 1) : Number.POSITIVE_INFINITY
  const alertAfterSoft = random.pick([2, 4, 20])
  const isUnseen = random.chance(0.25)
  const changed = pools.map(
    (pool, at): PoolSpec => ({
      ...pool,
      dependsOn: at === free ? [] : pool.dependsOn,
      recovery: { ...pool.recovery, alertAfterSoft, mode: at === observed ? 'observe' : 'act' },
    }),
  )
  return { ...drawn, pools: changed, meansMs, uses, isUnseen }
}

const noChances: Chances = {
  startFails: 0,
  stalls: 0,
  ignoresSignal: 0,
  rejects: 0,
  haunts: 0,
  ignoresTerm: 0,
  losesResetAnswer: 0,
  failsReset: 0,
  poison: 0,
}

/** One pool in which nothing goes wrong unless the caller says so. */
export function calmScenario(pool: PoolSpec, seed: SimRandom, changes: Partial<Scenario>): Scenario {
  return {
    pools: [pool],
    dependencies: [drawDependency(seed)],
    meansMs: new Map(),
    chances: noChances,
    submitMeanMs: 10_000,
    mostTasks: 0,
    uses: 0,
    isUnseen: false,
    lengthMs: 600_000,
    ...changes,
  }
}

/** The same scenario with fewer kinds of trouble. */
export function without(scenario: Scenario, names: readonly FaultName[]): Scenario {
  return { ...scenario, meansMs: new Map([...scenario.meansMs].filter(([name]) => !names.includes(name))) }
}

function drawChances(random: SimRandom): Chances {
  const some = (most: number): number => (random.chance(0.4) ? random.next() * most : 0)
  return {
    startFails: some(0.3),
    stalls: some(0.06),
    ignoresSignal: some(0.5),
    rejects: some(0.1),
    haunts: some(1),
    ignoresTerm: some(0.5),
    losesResetAnswer: some(0.5),
    failsReset: some(0.5),
    poison: some(0.06),
  }
}

function probe(periodMs: number, failureThreshold: number): ProbeSpec {
  return { initialDelayMs: 0, periodMs, timeoutMs: 5_000, failureThreshold, successThreshold: 1 }
}

function drawDependency(random: SimRandom): DependencySpec {
  return {
    name: dependency,
    role: random.pick(['model_provider', 'database', 'other']),
    check: { kind: 'tcp', host: 'provider', port: 1 },
    critical: random.chance(0.5),
    probe: probe(10_000, random.between(1, 3)),
    breaker: defaultBreaker,
  }
}

/** A pool at its defaults, as the configuration would resolve it, with clocks short enough that much happens. */
export function basicPool(name: string, replicas: number, concurrency: number): PoolSpec {
  return {
    name,
    owner: null,
    agent: { kind: 'module', path: '/agent.ts' },
    concurrency,
    replicas: { min: replicas, max: replicas },
    dependsOn: [dependency],
    health: { liveness: probe(15_000, 3), readiness: probe(30_000, 3), startup: probe(5_000, 6) },
    pulse: { everyMs: 1_000, suspectMs: 3_000, hungMs: 5_000 },
    deadlines: { taskMs: null, stepMs: 60_000, toolMs: 60_000, idleMs: 30_000 },
    recovery: {
      mode: 'act',
      nudge: true,
      alertAfterSoft: 20,
      soft: 2,
      hard: 3,
      strikePeriodMs: 600_000,
      probationMs: 60_000,
      resetMs: 5_000,
      graceMs: 5_000,
      drainMs: 30_000,
      backoff: { baseMs: 1_000, factor: 2, maxMs: 300_000, jitter: 0.5 },
      intensity: 10,
      intensityPeriodMs: 60_000,
      maxRecovering: 3,
      maxQuarantined: 2,
      poisonAfter: 3,
    },
    retry: { attempts: 3, backoff: { baseMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 }, repeat: 'safe_to_retry' },
    leaseMs: 15_000,
    memoryBytes: null,
    processLimit: 2_048,
    detect: defaultDetect,
    environment: { pass: [], set: {} },
  }
}

function drawPool(random: SimRandom, name: string): PoolSpec {
  const basic = basicPool(name, random.between(1, random.pick([3, 12])), random.pick([1, 1, 2, 4]))
  return {
    ...basic,
    recovery: {
      ...basic.recovery,
      soft: random.between(0, 2),
      hard: random.between(1, 3),
      strikePeriodMs: random.pick([120_000, 600_000]),
      probationMs: random.pick([10_000, 60_000]),
      resetMs: random.pick([2_000, 5_000]),
      graceMs: random.pick([1_000, 5_000]),
      drainMs: random.pick([5_000, 30_000]),
      intensity: random.between(2, 10),
      intensityPeriodMs: random.pick([30_000, 60_000]),
      maxRecovering: random.between(1, 3),
      maxQuarantined: random.between(0, 2),
      poisonAfter: random.between(2, 3),
    },
    retry: { ...basic.retry, attempts: random.between(1, 4) },
    leaseMs: random.pick([10_000, 15_000, 30_000]),
  }
}

const poisons: readonly Poison[] = ['crash', 'crash', 'out_of_memory', 'loop', 'violation']
const words: readonly RepeatWord[] = ['safe_to_retry', 'safe_to_retry', 'safe_to_retry', 'check_first', 'ask_human']

export function drawTask(random: SimRandom, chances: Chances): TaskScript {
  const steps = Array.from({ length: random.between(1, 5) }, (_, at) => drawStep(random, `step${at}`))
  return {
    steps,
    failures: random.chance(0.05) ? random.between(1, 3) : 0,
    poison: random.chance(chances.poison) ? random.pick(poisons) : null,
  }
}

function drawStep(random: SimRandom, name: string): StepScript {
  const plain: StepScript = {
    name,
    kind: 'step',
    ms: random.between(1, 4_000),
    repeat: random.pick(words),
    progressMs: null,
    timeoutMs: null,
    blocking: false,
    uses: null,
    seen: null,
  }
  const kind = random.next()
  if (kind < 0.6) return plain
  if (kind < 0.75) return { ...plain, kind: 'tool', repeat: 'safe_to_retry' }
  // Slow, and getting somewhere: never to be killed (R7).
  if (kind < 0.8) return { ...plain, ms: random.between(61_000, 150_000), progressMs: random.between(1_000, 10_000) }
  const ms = random.between(2_000, 25_000)
  // A declared wait, on the main thread or off it; and `execSync` inside a step, undeclared.
  if (kind < 0.95)
    return {
      ...plain,
      kind: 'wait',
      repeat: 'safe_to_retry',
      ms,
      timeoutMs: 2 * ms + 40_000,
      blocking: random.chance(0.3),
    }
  return { ...plain, ms, blocking: true }
}

/** The same task, with some of its short calls through the dependency. */
export function withUses(script: TaskScript, random: SimRandom, share: number): TaskScript {
  if (share === 0) return script
  const steps = script.steps.map((step): StepScript => {
    if (step.kind === 'wait' || step.blocking || step.progressMs !== null || !random.chance(share)) return step
    const uses: DependencyUse = {
      declared: random.chance(0.7),
      unanswered: random.pick(['fails', 'fails', 'gives_up', 'hangs']),
      timeoutMs: random.between(2_000, 30_000),
      tries: random.between(1, 3),
    }
    return { ...step, uses }
  })
  return { ...script, steps }
}

export function usesDependency(script: TaskScript | undefined): boolean {
  return script?.steps.some(({ uses }) => uses !== null) === true
}
