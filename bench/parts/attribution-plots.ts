/** How each kind of fault is done to a simulated pool: by seed whom, when, beside what load and how many siblings. */
import type { ReplicaName } from '../../src/model/ids.ts'
import type { PoolSpec } from '../../src/model/pool.ts'
import type { DependencySpec } from '../../src/model/probe.ts'
import type { Deed, Stage } from '../../test/sim/deeds.ts'
import type { SimProcess } from '../../test/sim/process.ts'
import type { SimRandom } from '../../test/sim/random.ts'
import { dependency, type Scenario } from '../../test/sim/scenario.ts'
import type { DependencyUse, Habit, Poison, StartFate, StepScript, TaskScript } from '../../test/sim/script.ts'
import type { KindName } from './attribution-kinds.ts'

/** What the seed has drawn before the fault is planned. */
export interface Setting {
  readonly random: SimRandom
  readonly replicas: number
  readonly concurrency: number
  readonly victim: ReplicaName
  readonly atMs: number
  /** Tasks of the background; one that is added has the next number. */
  readonly taskCount: number
  /** To be called when the fault is really there. */
  readonly struck: (stage: Stage) => void
}

/** What a kind changes in a calm scenario. */
export interface Plot {
  readonly deeds?: readonly Deed[]
  readonly task?: TaskScript
  readonly pool?: Partial<PoolSpec>
  readonly dependency?: Partial<DependencySpec>
  readonly meansMs?: Scenario['meansMs']
  /** How the background uses the dependency: all of it, in this way. */
  readonly uses?: Partial<DependencyUse>
  /** Share of its calls that do. */
  readonly share?: number
  /** Limits of what the seed may draw. */
  readonly replicas?: readonly [number, number]
  readonly concurrency?: readonly [number, number]
}

const gone = Number.POSITIVE_INFINITY

export const plainStep: StepScript = {
  ...{ name: 'step0', kind: 'step', ms: 2_000, repeat: 'safe_to_retry', progressMs: null, timeoutMs: null },
  ...{ blocking: false, uses: null, seen: null },
}

/** Does it to the victim as soon as it has something in hand. */
function strikeBusy(set: Setting, strike: (process: SimProcess, stage: Stage) => void, atMs = set.atMs): Deed {
  return {
    ...{ atMs, kind: 'do' },
    what(stage) {
      const process = stage.machine.alive.find(({ replica, phase }) => replica === set.victim && phase === 'ready')
      if (process === undefined || process.isIdle) return false
      set.struck(stage)
      strike(process, stage)
      return true
    },
  }
}

function hurt(strike: (process: SimProcess) => void): (set: Setting) => Plot {
  return (set) => ({ deeds: [strikeBusy(set, strike)] })
}

/** A task of its own beside the background. */
function oneTask(change: Partial<TaskScript>, plot: Plot = { replicas: [2, 6] }): (set: Setting) => Plot {
  return ({ atMs, struck }) => ({
    task: { ...{ steps: [plainStep], failures: 0, poison: null, how: { delayMs: atMs, priority: 2 } }, ...change },
    deeds: [onMachine(atMs, struck)],
    ...plot,
  })
}

const poison = (poison: Poison): ((set: Setting) => Plot) => oneTask({ poison })
const habit = (habit: Habit): ((set: Setting) => Plot) => oneTask({ habit })

function outage(uses: Partial<DependencyUse>, more: Plot = {}): (set: Setting) => Plot {
  return ({ random, atMs, struck }) => ({
    ...{ uses, replicas: [2, 6] },
    ...more,
    deeds: [breaks(atMs, random.between(40_000, 120_000), struck)],
  })
}

function breaks(atMs: number, forMs: number, struck: (stage: Stage) => void, passesCheck = false): Deed {
  return {
    ...{ atMs, kind: 'do' },
    what(stage) {
      const { provider } = stage
      struck(stage)
      provider.passesCheck = passesCheck
      provider.break(forMs)
      return true
    },
  }
}

function flaps({ random, atMs, struck }: Setting): Plot {
  const times = random.between(2, 3)
  const deeds = Array.from({ length: times }, (_, at) =>
    breaks(atMs + at * 60_000, random.between(25_000, 35_000), at === 0 ? struck : () => undefined),
  )
  return { deeds, uses: {}, replicas: [2, 6] }
}

/** Something that befalls the node again and again, by chance. */
function oftenOfNode(name: 'supervisor_pause' | 'store_slow' | 'store_failure' | 'starve'): (set: Setting) => Plot {
  return ({ struck }) => ({
    meansMs: new Map([[name, 60_000]]),
    deeds: [onMachine(0, struck)],
  })
}

const megabyte = 1_048_576

function leak(set: Setting): Plot {
  const eachBytes = set.random.between(5, 30) * megabyte
  const grow = (process: SimProcess, bytes: number): void => {
    const { replica, incarnation } = process
    const frame = { kind: 'memory', bytes, openFiles: null, openFilesLimit: null } as const
    process.send({ ...frame, replica, incarnation, atMs: process.nowMs() })
    process.at(2_000, () => grow(process, bytes + eachBytes))
  }
  const strike = (process: SimProcess): void => {
    process.wound('leak', null)
    grow(process, 100 * megabyte)
  }
  return { deeds: [strikeBusy(set, strike)], pool: { memoryBytes: 512 * megabyte } }
}

function severed(set: Setting): Plot {
  return { deeds: [strikeBusy(set, (process) => process.sever())], uses: { unanswered: 'fails', tries: 1 } }
}

function badStart({ random, victim, struck }: Setting): Plot {
  let left = 2
  const startOf = (replica: ReplicaName): StartFate | null => {
    if (replica !== victim || left === 0) return null
    left -= 1
    return { kind: random.pick(['setup_failed', 'crashes']), afterMs: random.between(50, 3_000) }
  }
  return { deeds: [onMachine(0, struck, (stage) => Object.assign(stage.machine, { startOf }))] }
}

/** For a while nothing can be started; in half of the cases a person restarts a replica just then. */
function noProcesses({ random, victim, atMs, struck }: Setting): Plot {
  const atStart = random.chance(0.5)
  const beginMs = atStart ? 0 : atMs
  const forMs = random.between(5_000, 40_000)
  const refuse = ({ machine }: Stage): void => {
    const untilMs = machine.parts.clock.nowMs() + forMs
    machine.startOf = () => (machine.parts.clock.nowMs() < untilMs ? { kind: 'not_spawned' } : null)
  }
  const command = { kind: 'restart', replica: victim, rung: 'hard' } as const
  const restart: Deed = { atMs: beginMs + 100, kind: 'operate', command }
  return { deeds: [onMachine(beginMs, struck, refuse), ...(atStart ? [] : [restart])] }
}

function onMachine(atMs: number, ...acts: readonly ((stage: Stage) => void)[]): Deed {
  return {
    ...{ atMs, kind: 'do' },
    what(stage) {
      for (const act of acts) act(stage)
      return true
    },
  }
}

function repeatedCrash(set: Setting): Plot {
  const times = set.random.between(2, 3)
  const deeds = Array.from({ length: times }, (_, at) =>
    strikeBusy(set, (process) => process.exit('exit'), set.atMs + at * 40_000),
  )
  return { deeds }
}

/** The only run of a task ends its process, because of the one or the other. */
function oneCrash(set: Setting): Plot {
  const { random, atMs, taskCount, struck } = set
  const isPoison = random.chance(0.5)
  const afterMs = random.between(20, 400)
  const steps = [{ ...plainStep, ms: 3_000 }]
  const task: TaskScript = {
    steps,
    failures: 0,
    poison: isPoison ? 'crash' : null,
    how: { delayMs: atMs, priority: 2 },
  }
  const kill: Deed = {
    ...{ atMs, kind: 'do' },
    what(stage) {
      const holder = holderOf(stage, taskCount)
      if (holder === undefined) return false
      struck(stage)
      if (!isPoison) holder.at(afterMs, () => holder.exit('exit'))
      return true
    },
  }
  return { task, deeds: [kill], pool: retryOnce, concurrency: [1, 1] }
}

const retryOnce = {
  retry: { attempts: 1, backoff: { baseMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 }, repeat: 'safe_to_retry' },
} as const

function holderOf({ machine, taskIds }: Stage, task: number): SimProcess | undefined {
  return machine.alive.find(({ running }) => running.some(({ lease }) => lease.taskId === taskIds[task]))
}

/** In a pool of one there is nobody who could try it again before it is cancelled. */
function crashThenCancelled(set: Setting): Plot {
  const { struck } = set
  const kill: Deed = {
    ...{ atMs: set.atMs, kind: 'do' },
    what(stage) {
      const [process] = stage.machine.alive
      const taskId = process?.running[0]?.lease.taskId
      if (process === undefined || taskId === undefined) return false
      struck(stage)
      process.exit('exit')
      stage.machine.parts.clock.after(20, () => stage.operate({ kind: 'cancel', taskId }))
      return true
    },
  }
  return { deeds: [kill], replicas: [1, 1], concurrency: [1, 1] }
}

const stall = (process: SimProcess): void => {
  process.stallsNext = true
}

export const plots: Readonly<Record<KindName, (set: Setting) => Plot>> = {
  crash: (set) => hurt((process) => process.exit(set.random.pick(['exit', 'signal', 'clean'])))(set),
  heap_exhausted: hurt((process) => process.exit('heap_exhausted')),
  out_of_memory: hurt((process) => process.exit('oom_kill')),
  spinning: hurt((process) => process.seize('loop', gone)),
  stopped: hurt((process) => process.seize('stopped', gone)),
  stalled_call: (set) => ({ ...hurt(stall)(set), uses: { declared: false } }),
  going_in_circles: hurt((process) => {
    process.habit = 'circles'
  }),
  protocol_violation: hurt((process) => process.violate()),
  leak,
  lost_connections: severed,
  bad_start: badStart,
  repeated_crash: repeatedCrash,
  poison_crash: poison('crash'),
  poison_memory: poison('out_of_memory'),
  poison_spin: poison('loop'),
  poison_garbage: poison('violation'),
  stalls_everywhere: oneTask({ steps: [plainStep, { ...plainStep, name: 'step1', ms: gone }] }),
  circles_everywhere: habit('circles'),
  too_large: habit('overflows'),
  rejected: oneTask({ failures: 9 }),
  provider_refuses: outage({ declared: true, unanswered: 'fails' }),
  provider_unnamed: outage({ declared: false, unanswered: 'fails' }),
  provider_hangs: outage({ unanswered: 'hangs' }),
  provider_flaps: flaps,
  provider_limits: ({ random, atMs, struck }) => ({
    ...{ uses: { declared: true, unanswered: 'fails' }, replicas: [2, 6] },
    deeds: [breaks(atMs, random.between(40_000, 120_000), struck, true)],
  }),
  database_down: outage({}, { dependency: { role: 'database', critical: true } }),
  tool_lost: outage({}, { dependency: { role: 'tool', critical: false }, pool: { dependsOn: [] } }),
  supervisor_paused: oftenOfNode('supervisor_pause'),
  supervisor_slow: oftenOfNode('store_slow'),
  store_fails: oftenOfNode('store_failure'),
  starved: oftenOfNode('starve'),
  no_processes: noProcesses,
  one_crash_no_more: oneCrash,
  one_stall_no_witness: (set) => ({ ...hurt(stall)(set), uses: { declared: true }, share: 1 }),
  crash_then_cancelled: crashThenCancelled,
}

/** Tasks of the background for so long, with their arrival; some fail once by themselves. */
export function background(
  random: SimRandom,
  { places, forMs, uses, share }: { places: number; forMs: number; uses: Partial<DependencyUse> | null; share: number },
  needs: readonly string[],
): readonly TaskScript[] {
  const meanMs = 5_000 / (places * random.pick([0.3, 0.6, 0.9, 1.2]))
  const tasks: TaskScript[] = []
  for (let delayMs = 0; delayMs < forMs && tasks.length < 400; delayMs += random.waitMs(meanMs)) {
    const steps = Array.from({ length: random.between(1, 4) }, (_, at): StepScript => {
      const use = uses !== null && random.chance(share) ? { ...drawUse(random), ...uses } : null
      return { ...plainStep, name: `step${at}`, ms: random.between(200, 4_000), uses: use }
    })
    const usesIt = steps.some((step) => step.uses !== null)
    const how = { delayMs, ...(usesIt && needs.length > 0 ? { needs } : {}) }
    tasks.push({ steps, failures: random.chance(0.03) ? 1 : 0, poison: null, how })
  }
  return tasks
}

function drawUse(random: SimRandom): DependencyUse {
  return {
    declared: random.chance(0.7),
    unanswered: random.pick(['fails', 'gives_up', 'hangs']),
    timeoutMs: random.between(2_000, 20_000),
    tries: random.between(1, 2),
  }
}

export const sharedDependency = dependency
