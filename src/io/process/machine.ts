import { chown, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../port/clock.ts'
import type { Log } from '../../port/log.ts'
import { type Groups, openGroups } from './cgroup.ts'
import { createIsolation, type Isolation } from './isolation.ts'
import { createStripper, type Stripper } from './strip.ts'
import { createSweeper, type Sweeper } from './sweep.ts'

/** What all replicas of this host share. */
export interface Machine {
  readonly clock: Clock
  readonly log: Log
  readonly root: string
  /** What starts a module agent. */
  readonly bootFile: string
  /** Whether module agents may be made to misbehave. */
  readonly chaos: boolean
  readonly isolation: Isolation
  /** Null: memory is polled, and nothing else limited. */
  readonly groups: Groups | null
  readonly stripper: Stripper
  readonly sweeper: Sweeper
  readonly slots: Slots
  /** Starts every marker of this store; and of this life of the supervisor. */
  readonly storePrefix: string
  readonly lifePrefix: string
  nextMarker(): string
  /** Folders of living processes, one each; emptied when a host starts. */
  readonly runFolder: string
  /** Something this host cannot do here; said once, kept for `blindSpots`. */
  blind(text: string): void
  readonly blindSpots: ReadonlySet<string>
}

export interface MachineOptions {
  readonly clock: Clock
  readonly log: Log
  readonly root: string
  readonly workFolder: string
  readonly storeId: string
  /** Unique for this life of the supervisor. */
  readonly life: string
  readonly wantGroups: boolean
  /** Whether any pool has a memory limit. */
  readonly limitsMemory: boolean
  readonly wantUsers: boolean
  readonly chaos: boolean
  readonly bootFile: string
}

export const memoryIsPolled = 'Memory limits are checked once a second instead of by the kernel'
export const processesAreUnlimited = 'A replica that starts processes without end is not stopped'

export function createMachine(options: MachineOptions): Machine {
  const { clock, log, root, workFolder, storeId, life, bootFile, chaos } = options
  const blindSpots = new Set<string>()
  const blind = (text: string) => {
    if (blindSpots.has(text)) return
    blindSpots.add(text)
    log.warn({ component: 'process-host' }, text)
  }
  const isolation = createIsolation(storeId, options.wantUsers)
  for (const text of isolation.blindSpots) blind(text)
  const groups = options.wantGroups ? openGroups() : null
  const { memory, pids, cpu } = groups?.missing ?? {}
  if (memory !== undefined && options.limitsMemory) blind(`${memoryIsPolled}: ${memory}.`)
  if (pids !== undefined) blind(`${processesAreUnlimited}: ${pids}.`)
  if (cpu !== undefined) blind(`A replica with many processes takes as many shares of the processor: ${cpu}.`)
  if (process.platform !== 'linux') {
    blind(
      'There is no /proc here: silent processes cannot be looked at, and subprocesses that left their group are not found.',
    )
  }
  const lifePrefix = `${storeId}.${life}.`
  let count = 0
  return {
    clock,
    log,
    root,
    bootFile,
    chaos,
    isolation,
    groups,
    stripper: createStripper(join(workFolder, 'stripped'), bootFile, (text) =>
      log.warn({ component: 'process-host' }, text),
    ),
    sweeper: createSweeper(),
    slots: createSlots(),
    storePrefix: `${storeId}.`,
    lifePrefix,
    nextMarker() {
      count += 1
      return `${lifePrefix}${count}`
    },
    runFolder: join(workFolder, 'run'),
    blind,
    blindSpots,
  }
}

/**
 * Small numbers for living processes: each gives a user id. A number is free
 * again only when everything its process left behind is gone, so that sweeping
 * the dead by user id never meets the living.
 */
export interface Slots {
  take(): number
  free(slot: number): void
}

export function createSlots(): Slots {
  const taken = new Set<number>()
  return {
    take() {
      let slot = 0
      while (taken.has(slot)) slot += 1
      taken.add(slot)
      return slot
    },
    free: (slot) => void taken.delete(slot),
  }
}

export interface Folders {
  readonly base: string
  readonly home: string
  readonly temporary: string
}

/** Makes the folders of one process, empty, closed to everybody else. */
export async function makeFolders(base: string, user: number | null): Promise<Folders> {
  const folders = { base, home: join(base, 'home'), temporary: join(base, 'tmp') }
  await rm(base, { recursive: true, force: true })
  await mkdir(base, { recursive: true, mode: 0o711 })
  const make = async (folder: string): Promise<void> => {
    await mkdir(folder, { mode: 0o700 })
    if (user !== null) await chown(folder, user, user)
  }
  await Promise.all([make(folders.home), make(folders.temporary)])
  return folders
}
