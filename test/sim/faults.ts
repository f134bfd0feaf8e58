import { assertNever } from '../../src/model/assert.ts'
import type { OperatorCommand } from '../../src/model/observation.ts'
import type { SimClock } from './clock.ts'
import type { Machine } from './host.ts'
import type { SimProcess } from './process.ts'
import type { Provider } from './provider.ts'
import type { SimRandom } from './random.ts'
import type { Chances, FaultName, Scenario } from './scenario.ts'
import type { Fates, StartFate, StepFate } from './script.ts'

/** What faults are done to. */
export interface Victims {
  readonly machine: Machine
  /** The supervisor dies at its next so many calls from now. */
  crashSupervisor(callsFromNow: number): void
  pauseSupervisor(forMs: number, framesFirst: boolean): void
  breakStore(forMs: number): void
  slowStore(forMs: number, eachMs: number): void
  readonly provider: Provider
  operate(command: OperatorCommand): void
  retry(taskId: string): void
  readonly taskIds: readonly string[]
}

/** Streams of faults by seed, until they are over. */
export class Faults {
  private readonly scenario: Scenario
  private readonly random: SimRandom
  private readonly clock: SimClock
  private readonly victims: Victims
  over = false

  constructor(scenario: Scenario, random: SimRandom, clock: SimClock, victims: Victims) {
    this.scenario = scenario
    this.random = random
    this.clock = clock
    this.victims = victims
  }

  begin(): void {
    for (const [name, meanMs] of this.scenario.meansMs) this.stream(name, meanMs, this.random.fork())
  }

  private stream(name: FaultName, meanMs: number, random: SimRandom): void {
    this.clock.after(random.waitMs(meanMs), () => {
      if (this.over) return
      this.strike(name, random)
      this.stream(name, meanMs, random)
    })
  }

  private strike(name: FaultName, random: SimRandom): void {
    switch (name) {
      case 'supervisor_crash':
        return this.victims.crashSupervisor(random.between(1, 12))
      case 'supervisor_pause':
        return this.victims.pauseSupervisor(random.pick([1_500, 4_000, 8_000, 30_000, 90_000]), random.chance(0.5))
      case 'store_failure':
        return this.victims.breakStore(random.between(1, 45_000))
      case 'store_slow':
        return this.victims.slowStore(random.between(100, 10_000), random.between(1, 3_000))
      case 'outage':
        return this.victims.provider.break(random.between(5_000, 120_000))
      case 'operator':
        if (random.chance(0.2)) return this.victims.retry(this.taskId(random))
        return this.victims.operate(this.command(random))
      default:
        return this.hurt(name, random)
    }
  }

  private hurt(
    name: Exclude<
      FaultName,
      'supervisor_crash' | 'supervisor_pause' | 'store_failure' | 'store_slow' | 'outage' | 'operator'
    >,
    random: SimRandom,
  ): void {
    const candidates = this.victims.machine.alive.filter((process) => process.phase !== 'booting')
    if (candidates.length === 0) return
    const process = random.pick(candidates)
    switch (name) {
      case 'sever':
        // One at a time: two that are cut off cannot be told from an outage.
        if (!candidates.some(({ isSevered }) => isSevered)) process.sever()
        return
      case 'crash':
        return process.exit(random.pick(['exit', 'signal', 'heap_exhausted']))
      case 'exit_clean':
        return process.exit('clean')
      case 'out_of_memory':
        return process.exit('oom_kill')
      case 'loop':
        return process.seize('loop', Number.POSITIVE_INFINITY)
      case 'stop':
        return process.seize('stopped', random.chance(0.5) ? random.between(500, 20_000) : Number.POSITIVE_INFINITY)
      case 'starve':
        return this.starve(process, this.clock.nowMs() + 20_000, random)
      case 'disk': {
        const forMs = random.between(500, 20_000)
        process.unkillableUntilMs = this.clock.nowMs() + forMs
        return process.seize('disk', forMs)
      }
      case 'violation':
        return process.violate()
      default:
        return assertNever(name)
    }
  }

  /** Neighbours eat the processor: turns of the main loop come late, and few. */
  private starve(process: SimProcess, untilMs: number, random: SimRandom): void {
    if (this.clock.nowMs() >= untilMs || process.phase === 'gone') return
    const gapMs = random.between(1_000, 12_000)
    process.seize('starved', gapMs)
    this.clock.after(gapMs + 100, () => this.starve(process, untilMs, random))
  }

  private taskId(random: SimRandom): string {
    return this.victims.taskIds.length === 0 ? 'none' : random.pick(this.victims.taskIds)
  }

  private command(random: SimRandom): OperatorCommand {
    const pool = random.pick(this.scenario.pools)
    const replica = `${pool.name}/${random.between(0, pool.replicas.max)}` as const
    const kind = random.pick([
      'restart',
      'restart',
      'drain',
      'quarantine',
      'release',
      'hold',
      'resume',
      'cancel',
      'cancel',
    ] as const)
    switch (kind) {
      case 'restart':
        return { kind, replica, rung: random.pick(['soft', 'hard']) }
      case 'drain':
      case 'quarantine':
      case 'release':
        return { kind, replica }
      case 'hold':
      case 'resume':
        return { kind, pool: pool.name }
      case 'cancel':
        return { kind, taskId: this.taskId(random) }
      default:
        return assertNever(kind)
    }
  }
}

/** Chance inside processes while faults last, and the best of luck afterwards. */
export function createFates(chances: Chances, random: SimRandom, isOver: () => boolean): Fates {
  const unlucky = (chance: number): boolean => chance > 0 && random.chance(chance) && !isOver()
  return {
    get poisonWorks() {
      return !isOver()
    },
    start(): StartFate {
      const afterMs = random.between(50, 3_000)
      if (!unlucky(chances.startFails)) return { kind: 'ready', afterMs }
      return random.pick<StartFate>([
        { kind: 'not_spawned' },
        { kind: 'setup_failed', afterMs },
        { kind: 'crashes', afterMs },
        { kind: 'hangs' },
      ])
    },
    step(): StepFate {
      return {
        stalls: unlucky(chances.stalls),
        ignoresSignal: unlucky(chances.ignoresSignal),
        rejects: unlucky(chances.rejects),
        slowness: random.chance(0.1) && !isOver() ? 2 : 1,
      }
    },
    haunts: () => unlucky(chances.haunts),
    ignoresTerm: () => unlucky(chances.ignoresTerm),
    losesResetAnswer: () => unlucky(chances.losesResetAnswer),
    failsReset: () => unlucky(chances.failsReset),
    smallMs: () => random.between(1, 20),
  }
}
