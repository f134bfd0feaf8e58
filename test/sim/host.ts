import { assertNever } from '../../src/model/assert.ts'
import type { ReplicaRecord } from '../../src/model/change.ts'
import type { ReplicaName } from '../../src/model/ids.ts'
import type { PoolSpec } from '../../src/model/pool.ts'
import type { HostEffect, LogLine, ProcessHost } from '../../src/port/process-host.ts'
import type { SimClock } from './clock.ts'
import { type Channel, type ProcessObservation, pulseSlots, SimProcess } from './process.ts'
import type { Provider } from './provider.ts'
import type { Fates, StartFate } from './script.ts'
import type { Sink } from './sink.ts'
import type { Trace } from './trace.ts'

const spawnMs = 30
const lookMs = 2
const stackMs = 130
const killConfirmMs = 2_000
const noLines: readonly LogLine[] = []

export interface MachineParts {
  readonly clock: SimClock
  readonly trace: Trace
  readonly sink: Sink
  readonly provider: Provider
  readonly fates: Fates
  readonly pools: readonly PoolSpec[]
}

/** The machine under all supervisors: processes outlive the one that started them. */
export class Machine {
  readonly parts: MachineParts
  /** Every process that is not gone, oldest first. */
  readonly alive: SimProcess[] = []
  private pids = 1_000
  /** Decides about a start before chance does; null: chance decides. */
  startOf: (replica: ReplicaName) => StartFate | null = () => null

  constructor(parts: MachineParts) {
    this.parts = parts
    const everyMs = (parts.pools[0]?.pulse.everyMs ?? 1_000) / pulseSlots
    let slot = 0
    const sweep = (): void => {
      slot = (slot + 1) % pulseSlots
      for (const process of [...this.alive]) if (process.slot === slot) process.pulse()
      parts.clock.after(everyMs, sweep)
    }
    parts.clock.after(everyMs, sweep)
  }

  spawn(pool: PoolSpec, replica: ReplicaName, incarnation: number, channel: Channel): SimProcess {
    const { clock, trace, sink, provider, fates } = this.parts
    const onGone = (gone: SimProcess): void => {
      this.alive.splice(this.alive.indexOf(gone), 1)
      if (fates.haunts()) this.haunt(gone, channel)
    }
    const process = new SimProcess(
      { clock, trace, sink, provider, fates, onGone, startOf: (replica) => this.startOf(replica) },
      pool,
      { replica, incarnation },
      ++this.pids,
      channel,
    )
    this.alive.push(process)
    return process
  }

  /** Frames of a process that is gone turn up again: they must change nothing. */
  private haunt(gone: SimProcess, channel: Channel): void {
    const { clock, fates } = this.parts
    let delayMs = 0
    const late: readonly ProcessObservation[] = [
      ...gone.sent,
      { kind: 'pulse', lagMs: 0, replica: gone.replica, incarnation: gone.incarnation, atMs: 0 },
    ]
    for (const observation of late) {
      delayMs += fates.smallMs() * 10
      clock.after(delayMs, () => channel.receive({ ...observation, atMs: clock.nowMs() }))
    }
  }

  orphanAll(): void {
    for (const process of [...this.alive]) if (process.channel !== null) process.orphan()
  }

  /** SIGKILL to everybody whose supervisor is dead. */
  killOrphans(): void {
    for (const process of [...this.alive]) if (process.channel === null) process.kill()
  }

  get orphans(): readonly SimProcess[] {
    return this.alive.filter((process) => process.channel === null)
  }
}

/** One supervisor's hands on the machine. What it does after its supervisor's death is not done. */
export class SimHost implements ProcessHost {
  readonly blindSpots: readonly string[] = []
  private readonly machine: Machine
  private readonly channel: Channel
  /** Runs what the supervisor's own process would do later: not when it is dead, late when it is paused. */
  private readonly later: (delayMs: number, fire: () => void) => void
  private readonly processes = new Map<ReplicaName, SimProcess>()

  constructor(machine: Machine, channel: Channel, later: (delayMs: number, fire: () => void) => void) {
    this.machine = machine
    this.channel = channel
    this.later = later
  }

  logs(): readonly LogLine[] {
    return noLines
  }

  close(): Promise<void> {
    for (const process of this.processes.values()) process.kill()
    return Promise.resolve()
  }

  killOrphans(
    _records: readonly ReplicaRecord[],
  ): Promise<{ readonly killed: number; readonly remaining: readonly number[] }> {
    const { machine } = this
    const count = machine.orphans.length
    machine.killOrphans()
    return new Promise((resolve) => {
      const untilMs = machine.parts.clock.nowMs() + killConfirmMs
      const poll = (): void => {
        const { orphans } = machine
        if (orphans.length > 0 && machine.parts.clock.nowMs() < untilMs) return this.later(20, poll)
        for (const orphan of orphans)
          machine.parts.trace.note({
            kind: 'process',
            what: 'given_up',
            replica: orphan.replica,
            incarnation: orphan.incarnation,
          })
        resolve({ killed: count - orphans.length, remaining: orphans.map((orphan) => orphan.pid) })
      }
      poll()
    })
  }

  apply(effect: HostEffect): void {
    this.machine.parts.trace.note({ kind: 'effect', effect })
    if (effect.kind === 'spawn') return this.spawn(effect.pool, effect.replica, effect.incarnation)
    const process = this.processes.get(effect.replica)
    if (process === undefined || process.incarnation !== effect.incarnation || process.phase === 'gone') return
    switch (effect.kind) {
      case 'terminate':
        return this.terminate(process, effect.graceMs)
      case 'dispatch':
        return process.hear(effect.leaseMs, () => process.dispatch(effect.lease))
      case 'ack':
        return process.hear(process.pool.leaseMs, () =>
          process.acknowledge(effect.taskId, effect.fence, effect.call, effect.phase, effect.accepted),
        )
      case 'reset':
        return process.hear(process.pool.leaseMs, () => process.reset(effect.taskId, effect.fence))
      case 'nudge':
      case 'compact': // Never asked: these agents are not compactable.
        return process.hear(process.pool.leaseMs, nothing)
      case 'lease':
        return process.hear(effect.leaseMs, nothing)
      case 'ping':
        return process.hear(process.pool.leaseMs, () => this.answer(process, { kind: 'pong', ping: effect.ping }))
      case 'check':
        return process.hear(process.pool.leaseMs, () =>
          this.answer(process, { kind: 'checked', probe: effect.probe, results: {} }),
        )
      case 'look':
        return this.later(lookMs, () => this.answer(process, { kind: 'looked', look: process.look() }))
      case 'capture_stack':
        return this.later(stackMs, () =>
          this.answer(process, { kind: 'stack', frames: process.isStuck ? ['spin (agent.ts:12)'] : [] }),
        )
      default:
        return assertNever(effect)
    }
  }

  private spawn(poolName: string, replica: ReplicaName, incarnation: number): void {
    const pool = this.machine.parts.pools.find((candidate) => candidate.name === poolName)
    if (pool === undefined) throw new Error(`Spawn for an unknown pool: ${poolName}`)
    const process = this.machine.spawn(pool, replica, incarnation, this.channel)
    this.processes.set(replica, process)
    this.machine.parts.clock.after(spawnMs, () => process.boot())
  }

  private terminate(process: SimProcess, graceMs: number): void {
    if (graceMs > 0) process.term()
    this.later(graceMs, () => {
      process.kill()
      this.later(killConfirmMs, () => {
        if (process.phase === 'gone') return
        const { replica, incarnation, pid } = process
        this.machine.parts.trace.note({ kind: 'process', what: 'given_up', replica, incarnation })
        this.channel.receive({ kind: 'unkillable', pid, replica, incarnation, atMs: this.machine.parts.clock.nowMs() })
      })
    })
  }

  private answer(process: SimProcess, said: Answer): void {
    process.send({ ...said, replica: process.replica, incarnation: process.incarnation, atMs: process.nowMs() }, true)
  }
}

type Answer = ProcessObservation extends infer One
  ? One extends { readonly kind: 'pong' | 'checked' | 'looked' | 'stack' }
    ? Omit<One, 'replica' | 'incarnation' | 'atMs'>
    : never
  : never

function nothing(): void {}
