import type { Batch } from '../../src/model/change.ts'
import { PrunellaError } from '../../src/model/errors.ts'
import { limits } from '../../src/model/limits.ts'
import type { OperatorCommand } from '../../src/model/observation.ts'
import type { PoolSpec } from '../../src/model/pool.ts'
import type { NodeDoor, Submission } from '../../src/port/node.ts'
import { createSupervisor, type Supervisor } from '../../src/runtime/supervisor.ts'
import { SimClock } from './clock.ts'
import { configOf } from './config.ts'
import { plan, type Stage } from './deeds.ts'
import { createFates, Faults } from './faults.ts'
import { Machine } from './host.ts'
import { Life, type Surroundings } from './life.ts'
import { createMemoryStore, type MemoryStore } from './memory-store.ts'
import { Provider } from './provider.ts'
import { silentLog, silentMeter } from './quiet.ts'
import { createRandom, type SimRandom } from './random.ts'
import { dependency, drawTask, type Scenario, usesDependency, withUses } from './scenario.ts'
import { type TaskScript, toInput } from './script.ts'
import { Sink } from './sink.ts'
import type { Sweep } from './sweep.ts'
import { Trace } from './trace.ts'

/** Switches that plant a bug, so that we know the checkers look. */
export interface Bugs {
  readonly fenceNotChecked?: boolean
  readonly leaseReturnedOutsideTransaction?: boolean
  readonly oldIncarnationAccepted?: boolean
  readonly toldForgotten?: boolean
  readonly refundsForgotten?: boolean
  /** The supervisor goes by other pools than the checkers know: as if a policy did not heed what is configured. */
  readonly misreads?: (pool: PoolSpec) => PoolSpec
  /** Which dependency a call uses is lost on the way. */
  readonly dependenciesUnseen?: boolean
}

export interface WorldParts {
  readonly seed: number
  readonly scenario: Scenario
  readonly bugs: Bugs
  readonly keepsHash: boolean
  readonly sweep: Sweep | null
}

/** Monday morning somewhere: simulated time looks like wall time. */
const startMs = 1_700_000_000_000
/** Turns of the promise queue before time goes on without the tick: it waits for something that takes time. */
const promiseTurns = 200
/** Turns after anything asynchronous was set going by a door or a timer. */
const stirTurns = 40
/** Ticks in one instant, above which the loop spins. */
const ticksPerInstant = 50
const sampleEveryTicks = 20
/** How long a person waits for a replica that is silent, or gets nowhere. */
const patienceMs = 300_000
/** When a submitter without an acknowledgement tries again. */
const againMs = 500

/** One simulated installation over all the lives of its supervisor. */
export class World {
  readonly clock: SimClock
  readonly trace: Trace
  readonly sink: Sink
  readonly machine: Machine
  readonly store: MemoryStore
  readonly faults: Faults
  readonly acknowledged: string[] = []
  ticks = 0
  private readonly parts: WorldParts
  private readonly random: SimRandom
  private readonly around: Surroundings
  private life: Life | null = null
  private supervisor: Supervisor | null = null
  private wakeAtMs = 0
  private state: 'starting' | 'idle' | 'ticking' = 'starting'
  private ticksNow = 0

  constructor(parts: WorldParts) {
    this.parts = parts
    // By seed, so that pulses fall anywhere between the whole seconds on which much is due.
    this.clock = new SimClock(startMs + (parts.seed % 1_000))
    this.random = createRandom(parts.seed)
    this.trace = new Trace(this.clock, parts.keepsHash)
    this.sink = new Sink(this.trace)
    const { scenario } = parts
    const fates = createFates(scenario.chances, this.random.fork(), () => this.faults.over)
    const { clock, trace, sink } = this
    const provider = new Provider(clock, trace)
    provider.passesCheck = scenario.isUnseen
    const machine = new Machine({ clock, trace, sink, provider, fates, pools: scenario.pools })
    this.machine = machine
    this.store = createMemoryStore({ bugs: parts.bugs })
    const { store } = this
    this.around = {
      clock,
      trace,
      machine,
      provider,
      store,
      failingUntilMs: 0,
      slowUntilMs: 0,
      slowMs: 0,
      sweep: parts.sweep,
      stirred: false,
    }
    const stage: Stage = {
      machine,
      provider,
      taskIds: this.acknowledged,
      crashSupervisor: (calls) => this.crashSupervisor(calls),
      operate: (command) => this.operate(command),
      retry: (taskId) => this.retry(taskId),
      isOver: () => this.faults.over,
    }
    this.faults = new Faults(scenario, this.random.fork(), this.clock, {
      ...stage,
      pauseSupervisor: (forMs, framesFirst) => this.pauseSupervisor(forMs, framesFirst),
      breakStore: (forMs) => {
        this.around.failingUntilMs = clock.nowMs() + forMs
      },
      slowStore: (forMs, eachMs) => {
        this.around.slowUntilMs = clock.nowMs() + forMs
        this.around.slowMs = eachMs
      },
    })
    this.load(this.random.fork(), createRandom(parts.seed ^ 0xdeb))
    const { tasks } = scenario
    if (tasks !== undefined) this.clock.after(1, () => this.submitFirst(tasks))
    this.faults.begin()
    plan(scenario.deeds ?? [], clock, stage)
    this.beget()
  }

  /** Lets the world go on until `untilMs`, or until `isOver` says so between two moments. */
  async run(untilMs: number, isOver: () => boolean = () => false): Promise<void> {
    while (this.clock.nowMs() < untilMs && !isOver()) {
      if (this.wantsTick()) this.beginTick()
      if (this.state !== 'idle' || this.around.stirred) await this.settle()
      if (this.wantsTick()) continue
      const ownMs =
        this.state === 'idle' && this.life !== null && !this.life.paused ? this.wakeAtMs : Number.POSITIVE_INFINITY
      const nextMs = Math.min(ownMs, this.clock.nextMs, untilMs)
      if (nextMs > this.clock.nowMs()) this.ticksNow = 0
      this.clock.advanceTo(nextMs)
    }
  }

  /** From here on nothing goes wrong any more. */
  stopFaults(): void {
    this.faults.over = true
    this.around.failingUntilMs = 0
    this.around.slowUntilMs = 0
    this.around.provider.mend()
    for (const process of this.machine.alive) process.isSevered = false
    if (this.life !== null) this.life.callsLeft = Number.POSITIVE_INFINITY
    this.trace.note({ kind: 'faults_over' })
  }

  get door(): NodeDoor | null {
    return this.life?.alive && !this.life.paused && this.state !== 'starting' ? (this.supervisor?.door ?? null) : null
  }

  operate(command: OperatorCommand): boolean {
    const { door } = this
    if (door === null) return false
    this.trace.note({ kind: 'operator', command })
    this.stir(door.operate(command, 'somebody', 'simulated'))
    return true
  }

  private retry(taskId: string): boolean {
    const { door } = this
    if (door === null) return false
    this.stir(door.retry(taskId, undefined, 'somebody', 'simulated'))
    return true
  }

  /** What a person does once the trouble is over: releases, resumes, answers held steps, and ends what only observing leaves alone. */
  async tidyUp(): Promise<void> {
    const { door } = this
    if (door === null) return
    for (const replica of door.replicas())
      if (replica.phase === 'quarantined') this.operate({ kind: 'release', replica: replica.name })
    for (const pool of door.pools()) if (pool.hold !== null) this.operate({ kind: 'resume', pool: pool.name })
    const observed = this.parts.scenario.pools.filter(({ recovery }) => recovery.mode === 'observe')
    for (const { name, pool, phase, pulseAgeMs, progressAgeMs } of door.replicas()) {
      const isStuck = phase === 'starting' || Math.max(pulseAgeMs ?? 0, progressAgeMs ?? 0) > patienceMs
      if (isStuck && observed.some((spec) => spec.name === pool))
        this.operate({ kind: 'restart', replica: name, rung: 'hard' })
    }
    for (const { id } of (await this.store.tasks({ status: 'held', limit: 500 })).rows) {
      this.stir(door.resolve(id, { kind: 'repeat' }, 'somebody', 'simulated'))
    }
  }

  private stir(promise: Promise<unknown>): void {
    this.around.stirred = true
    // A door may refuse with a code; anything else is a bug.
    promise.catch((error: unknown) => {
      if (!(error instanceof PrunellaError)) this.trace.violate('no_exceptions', `a door threw: ${String(error)}`)
    })
  }

  // The supervisor's lives.

  private beget(): void {
    const { parts, around } = this
    const life = new Life(around, parts.bugs.dependenciesUnseen === true, () => this.buried(life))
    this.life = life
    this.state = 'starting'
    this.trace.note({ kind: 'supervisor', what: 'born' })
    const supervisor = createSupervisor({
      config: configOf(parts.scenario, parts.bugs.misreads ?? ((pool) => pool)),
      clock: life.clock,
      random: this.random.fork(),
      store: life.store,
      host: life.host,
      prober: life.prober,
      notifiers: life.notifiers,
      redact: (text) => text,
      meter: silentMeter,
      log: silentLog,
      inbox: life.inbox,
      ...(parts.bugs.oldIncarnationAccepted === true ? { isCurrent: () => true } : {}),
    })
    this.supervisor = supervisor
    const begin = async (): Promise<void> => {
      const inheritance = await life.store.takeOver(this.clock.nowMs())
      this.trace.note({ kind: 'took_over', inheritance })
      await supervisor.start(inheritance)
      if (!life.alive) return
      this.state = 'idle'
      this.wakeAtMs = this.clock.nowMs()
      this.trace.note({ kind: 'supervisor', what: 'started' })
      this.stir(supervisor.notify(new AbortController().signal))
    }
    around.stirred = true
    begin().catch((error: unknown) => {
      // A store that fails at the start ends the process; another one is started.
      if (error instanceof PrunellaError && error.code === 'PRUNELLA_STORE_FAILED') life.die()
      else this.fell(life, error)
    })
  }

  private buried(life: Life): void {
    if (this.life !== life) return
    this.trace.note({ kind: 'supervisor', what: 'crashed' })
    this.life = null
    this.supervisor = null
    this.state = 'starting'
    this.machine.orphanAll()
    const restartMs = this.random.between(50, 3_000)
    this.clock.after(restartMs, () => this.beget())
    const { lastWords } = life
    if (lastWords === null) return
    this.clock.after(restartMs + this.random.between(1, 2_000), () => this.stir(this.deliver(lastWords)))
  }

  private async deliver(batch: Batch): Promise<void> {
    const result = await this.store.commit(batch)
    this.trace.note({ kind: 'committed', batch, result })
  }

  /** An exception that came out of the runtime: a finding, and for production the end of the process. */
  private fell(life: Life, error: unknown): void {
    if (!life.alive) return
    this.trace.violate('no_exceptions', error instanceof Error ? (error.stack ?? error.message) : String(error))
    life.die()
  }

  private crashSupervisor(calls: number): boolean {
    if (this.life === null || this.life.paused) return false
    this.life.callsLeft = calls
    return true
  }

  private pauseSupervisor(forMs: number, framesFirst: boolean): void {
    const { life } = this
    // Only between two ticks: a pause inside one is noticed by `run`, which the simulation does not use.
    if (life === null || life.paused || this.state !== 'idle') return
    life.pause()
    this.clock.after(forMs, () => life.wake(framesFirst))
  }

  // The tick.

  private wantsTick(): boolean {
    const { life } = this
    return (
      this.state === 'idle' &&
      life !== null &&
      !life.paused &&
      (life.inbox.length > 0 || this.clock.nowMs() >= this.wakeAtMs)
    )
  }

  private beginTick(): void {
    const { life, supervisor } = this
    if (life === null || supervisor === null) return
    this.state = 'ticking'
    this.ticks += 1
    this.ticksNow += 1
    if (this.ticksNow === ticksPerInstant) this.trace.violate('no_spinning', `${ticksPerInstant} ticks in one instant`)
    supervisor.tick().then(
      (wakeAtMs) => {
        if (this.life !== life) return
        this.state = 'idle'
        // A loop that spins is reported once, and then slowed down so that the run ends.
        this.wakeAtMs = this.ticksNow < ticksPerInstant ? wakeAtMs : this.clock.nowMs() + 1
        if (this.ticks % sampleEveryTicks === 0) this.sample(supervisor)
      },
      (error: unknown) => this.fell(life, error),
    )
  }

  private sample(supervisor: Supervisor): void {
    const { lastSweepMs, lagMs } = supervisor.door.node()
    this.trace.note({ kind: 'ticked', lastSweepMs, lagMs })
  }

  /** Lets promises run until the tick has returned, or waits for something that takes time. */
  private async settle(): Promise<void> {
    const { around } = this
    for (let turn = 0; turn < promiseTurns; turn++) {
      const isStirred = turn < stirTurns && (around.stirred || this.state === 'starting')
      if (this.state !== 'ticking' && !isStirred) break
      await null
    }
    around.stirred = false
  }

  // The load.

  /** @param uses  Decides who uses the dependency: a stream of its own. */
  private load(random: SimRandom, uses: SimRandom): void {
    const { scenario } = this.parts
    let left = scenario.mostTasks
    const submit = (): void => {
      if (this.faults.over || left <= 0) return
      const { door } = this
      if (door !== null) {
        const count = Math.min(left, random.chance(0.1) ? random.between(2, 30) : 1)
        left -= count
        this.submit(door, random, uses, count)
      }
      this.clock.after(random.waitMs(scenario.submitMeanMs), submit)
    }
    this.clock.after(random.waitMs(scenario.submitMeanMs), submit)
  }

  /** Submits, under keys, until everything is acknowledged: the supervisor may die, or the store fail, on the way. */
  private submitFirst(scripts: readonly TaskScript[]): void {
    const { door } = this
    const tasks = scripts.map(({ how, ...script }, at) => ({
      ...{ input: toInput(script), idempotencyKey: `first-${at}` },
      ...how,
    }))
    for (let at = 0; door !== null && at < tasks.length; at += limits.tasksPerSubmit)
      this.acknowledge(door, tasks.slice(at, at + limits.tasksPerSubmit))
    this.clock.after(againMs, () => {
      if (this.acknowledged.length < scripts.length) this.submitFirst(scripts)
    })
  }

  private submit(door: NodeDoor, random: SimRandom, uses: SimRandom, count: number): void {
    const { scenario } = this.parts
    const scripts = Array.from({ length: count }, () =>
      withUses(drawTask(random, scenario.chances), uses, scenario.uses),
    )
    const tasks = scripts.map((script) => ({
      input: toInput(script),
      priority: random.between(-2, 2),
      ...(random.chance(0.1) ? { delayMs: random.between(1, 20_000) } : {}),
      ...(random.chance(0.05) ? { deadlineMs: this.clock.nowMs() + random.between(1_000, 120_000) } : {}),
      ...(random.chance(0.2) ? { idempotencyKey: `key-${random.between(1, 40)}` } : {}),
    }))
    const { name, dependsOn } = random.pick(scenario.pools)
    const needing = tasks.map((task, at) =>
      dependsOn.length === 0 && usesDependency(scripts[at]) ? { ...task, needs: [dependency] } : task,
    )
    this.acknowledge(door, needing, name)
  }

  private acknowledge(
    door: NodeDoor,
    tasks: readonly Submission[],
    pool = this.parts.scenario.pools[0]?.name ?? '',
  ): void {
    const submit = async (): Promise<void> => {
      const outcomes = await door.submit(pool, tasks)
      this.trace.note({ kind: 'submitted', outcomes })
      for (const outcome of outcomes)
        if (outcome.kind === 'created' || (outcome.kind === 'existing' && !this.acknowledged.includes(outcome.id)))
          this.acknowledged.push(outcome.id)
    }
    this.stir(submit())
  }
}
