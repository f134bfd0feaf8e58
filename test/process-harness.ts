import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defaultDeadlines } from '../src/config/defaults.ts'
import { createClock } from '../src/io/clock.ts'
import { createProcessHost, type ProcessHostOptions } from '../src/io/process/host.ts'
import { defaultDetect } from '../src/model/detect.ts'
import type { ReplicaName } from '../src/model/ids.ts'
import type { Observation } from '../src/model/observation.ts'
import type { AgentSpec, PoolSpec } from '../src/model/pool.ts'
import type { ProbeSpec } from '../src/model/probe.ts'
import { nothingSpent } from '../src/model/spent.ts'
import type { Lease } from '../src/model/task.ts'
import type { HostEffect, ProcessHost } from '../src/port/process-host.ts'
import { until } from './until.ts'

export const fakeAgent = fileURLToPath(new URL('./fixtures/fake-agent.mjs', import.meta.url))
export const spinFile = fileURLToPath(new URL('./fixtures/spin.ts', import.meta.url))
export const repository = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')

const probe: ProbeSpec = {
  initialDelayMs: 0,
  periodMs: 1_000,
  timeoutMs: 500,
  failureThreshold: 3,
  successThreshold: 1,
}
const backoff = { baseMs: 100, factor: 2, maxMs: 1_000, jitter: 0 }

/** A pool with settings that a test need not care about. */
export function poolSpec(mode: string, changes: Partial<PoolSpec> = {}): PoolSpec {
  return {
    name: 'pool',
    owner: null,
    agent: { kind: 'command', command: [process.execPath, fakeAgent], protocol: 'frames' },
    concurrency: 1,
    replicas: { min: 1, max: 1 },
    dependsOn: [],
    health: { liveness: probe, readiness: probe, startup: probe },
    pulse: { everyMs: 100, suspectMs: 3_000, hungMs: 5_000 },
    deadlines: { ...defaultDeadlines, stepMs: 60_000, toolMs: 60_000, idleMs: 60_000 },
    recovery: {
      mode: 'act',
      nudge: true,
      injectNudge: false,
      alertAfterSoft: 20,
      soft: 2,
      hard: 3,
      strikePeriodMs: 600_000,
      probationMs: 60_000,
      resetMs: 5_000,
      graceMs: 1_000,
      drainMs: 30_000,
      backoff,
      intensity: 5,
      intensityPeriodMs: 60_000,
      maxRecovering: 5,
      maxQuarantined: 1,
      poisonAfter: 3,
    },
    retry: { attempts: 3, backoff, repeat: 'safe_to_retry' },
    leaseMs: 10_000,
    memoryBytes: null,
    processLimit: 2_048,
    detect: defaultDetect,
    environment: { pass: [], set: { FAKE_MODE: mode } },
    ...changes,
  }
}

export const moduleAgent = (path: string): AgentSpec => ({ kind: 'module', path })
export const bareAgent = (...command: string[]): AgentSpec => ({ kind: 'command', command, protocol: 'none' })

export interface Harness {
  readonly host: ProcessHost
  readonly workFolder: string
  readonly storeId: string
  readonly observations: Observation[]
  readonly warnings: string[]
  apply(effect: HostEffect): void
  spawn(incarnation?: number, replica?: ReplicaName): void
  dispatch(taskId: string, input: Lease['input'], fence?: number): void
  /** The first observation of a kind, waited for. */
  see<Kind extends Observation['kind']>(kind: Kind, timeoutMs?: number): Promise<Extract<Observation, { kind: Kind }>>
  setFull(full: boolean): void
  close(): Promise<void>
}

export const replica: ReplicaName = 'pool/0'

export const isRoot = process.getuid?.() === 0

const started: Harness[] = []

/** For `afterEach`: ends every host of the test, with what it runs. */
export async function closeHosts(): Promise<void> {
  await Promise.all(started.splice(0).map((harness) => harness.close()))
}

export function startHost(pools: readonly PoolSpec[], changes: Partial<ProcessHostOptions> = {}): Harness {
  const workFolder = changes.workFolder ?? mkdtempSync(join(tmpdir(), 'prunella-host-'))
  chmodSync(workFolder, 0o711) // A replica's own user must pass it.
  // Of its own: what an earlier run left behind must not be found by this one.
  const storeId = changes.storeId ?? `test-${process.pid}-${randomBytes(4).toString('hex')}`
  const observations: Observation[] = []
  const warnings: string[] = []
  const listeners: (() => void)[] = []
  let full = false
  const host = createProcessHost({
    inbox: {
      push: (observation) => void observations.push(observation),
      get full() {
        return full
      },
      onDrain: (listener) => void listeners.push(listener),
    },
    clock: createClock(),
    log: { info: () => undefined, warn: (_, text) => void warnings.push(text), error: () => undefined },
    pools,
    root: repository,
    workFolder,
    storeId,
    secrets: [],
    bootFile: fakeAgent,
    ...changes,
  })
  const pool = pools[0]?.name ?? ''
  const harness: Harness = {
    host,
    workFolder,
    storeId,
    observations,
    warnings,
    apply: (effect) => host.apply(effect),
    spawn: (incarnation = 1, name = replica) => host.apply({ kind: 'spawn', replica: name, incarnation, pool }),
    dispatch: (taskId, input, fence = 1) =>
      host.apply({
        kind: 'dispatch',
        replica,
        incarnation: 1,
        lease: leaseOf(pool, taskId, input, fence),
        leaseMs: 10_000,
      }),
    see: (kind, timeoutMs = 10_000) =>
      until(
        () => observations.find((seen): seen is Extract<Observation, { kind: typeof kind }> => seen.kind === kind),
        {
          timeoutMs,
          what: `observation "${kind}"`,
          everyMs: 1,
        },
      ),
    setFull(value) {
      full = value
      if (!value) for (const listener of listeners) listener()
    },
    async close() {
      await host.close()
      if (changes.workFolder === undefined) rmSync(workFolder, { recursive: true, force: true })
    },
  }
  started.push(harness)
  return harness
}

export function leaseOf(pool: string, taskId: string, input: Lease['input'], fence: number): Lease {
  return {
    taskId,
    pool,
    replica,
    incarnation: 1,
    fence,
    attempt: 1,
    countedAttempts: 0,
    lostReplicas: [],
    input,
    priority: 0,
    deadlineMs: null,
    needs: [],
    spent: nothingSpent,
    journal: [],
    previous: null,
  }
}

/**
 * Watches this process while `work` runs: how much memory it grew at most, and the longest time its loop was busy
 * without a turn. Time in which the machine ran somebody else is not counted: the bound is on our own work.
 */
export async function measured<T>(
  work: () => Promise<T>,
): Promise<{ readonly value: T; readonly gapMs: number; readonly grownBytes: number }> {
  const before = process.memoryUsage.rss()
  let peak = before
  let gapMs = 0
  let atMs = performance.now()
  let cpu = process.cpuUsage()
  const timer = setInterval(() => {
    const used = process.cpuUsage(cpu)
    gapMs = Math.max(gapMs, Math.min(performance.now() - atMs, (used.user + used.system) / 1_000))
    peak = Math.max(peak, process.memoryUsage.rss())
    atMs = performance.now()
    cpu = process.cpuUsage()
  }, 1)
  try {
    const value = await work()
    return { value, gapMs, grownBytes: peak - before }
  } finally {
    clearInterval(timer)
  }
}

export const terminate = (graceMs: number, incarnation = 1) =>
  ({ kind: 'terminate', replica, incarnation, graceMs }) as const

/** One look at the replica from outside. */
export function lookAt(on: Harness) {
  const from = on.observations.length
  on.apply({ kind: 'look', replica, incarnation: 1 })
  return until(() => on.observations.slice(from).find((seen) => seen.kind === 'looked')?.look, {
    timeoutMs: 2_000,
    what: 'a look',
  })
}

/** Whether a process runs; a zombie does not. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Processes with `text` in their environment. */
export function carriers(text: string): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && alive(Number(pid)) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(text)
    } catch {
      return false
    }
  })
}
