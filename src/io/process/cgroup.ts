import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sendSignal } from './proc.ts'

export type Controller = (typeof controllers)[number]

const controllers = ['memory', 'pids', 'cpu'] as const

/** What a process and all it starts may use together. */
export interface GroupLimits {
  readonly memoryBytes: number | null
  /** Processes and threads at a time. */
  readonly processes: number
}

/**
 * Kernel groups: at the memory limit the kernel kills, at once, and counts it; at
 * the process limit a fork fails; and the processor is shared by group, so that a
 * replica of a hundred processes weighs as much as one of one. Without the last
 * a fork bomb at a limit of 128 delayed the supervisor by 1.2 s.
 */
export interface Groups {
  /** What cannot be limited here, and why. */
  readonly missing: Readonly<Partial<Record<Controller, string>>>
  /**
   * A group with those of the limits that can be kept here; null when there are none.
   *
   * @throws when the kernel refuses; the caller goes on without.
   */
  create(name: string, limits: GroupLimits): Promise<Group | null>
}

export interface Group {
  /** A process that writes `0` into each, and all it starts from then on, is in the group. */
  readonly entryFiles: readonly string[]
  readonly limitsMemory: boolean
  /**
   * Moves a process that has not run anything of the agent yet. Takes 10 to 25 ms: the kernel waits until nobody forks.
   *
   * @throws when the kernel refuses, also because the process is gone.
   */
  enter(pid: number): Promise<void>
  /** How often the kernel has killed for memory here. */
  oomKills(): number
  /**
   * Kills every process in it, whatever session or user it moved to; where forks can be stopped none slips through.
   * At once: these files are memory, and a look at a process that forks without end may block us for seconds.
   */
  kill(): void
  /**
   * Only an empty group can be removed; false when it is not.
   *
   * @throws when what is left cannot be weighed anew: then it weighs what it did until the next one comes.
   */
  remove(): Promise<boolean>
}

/** A controller's folder `prunella`, below our own group. */
interface Place {
  readonly controller: Controller
  readonly folder: string
  readonly version: 1 | 2
}

const memoryFiles = {
  1: { limit: 'memory.limit_in_bytes', events: 'memory.oom_control' },
  2: { limit: 'memory.max', events: 'memory.events' },
} as const
const processLimitFile = 'pids.max'
/** What a group weighs unless told otherwise, and the most it may. */
const weights = {
  1: { file: 'cpu.shares', one: 1_024, most: 262_144 },
  2: { file: 'cpu.weight', one: 100, most: 10_000 },
} as const

/** Where a controller can be used, from the texts of /proc/mounts and /proc/self/cgroup. */
export function locate(
  mounts: string,
  self: string,
  controller: Controller,
): { readonly mount: string; readonly own: string; readonly version: 1 | 2 } | null {
  const own = new Map(
    [...self.matchAll(/^\d+:([^:]*):(.*)$/gm)].map(([, controllers = '', path = '/']) => [controllers, path]),
  )
  for (const line of mounts.split('\n')) {
    const [, mount = '', kind, options = ''] = line.split(' ')
    if (kind === 'cgroup' && options.split(',').includes(controller)) {
      const path = [...own].find(([controllers]) => controllers.split(',').includes(controller))?.[1] ?? '/'
      return { mount, own: path, version: 1 }
    }
  }
  const unified = mounts.split('\n').find((line) => line.split(' ')[2] === 'cgroup2')
  return unified === undefined ? null : { mount: unified.split(' ')[1] ?? '', own: own.get('') ?? '/', version: 2 }
}

export function openGroups(): Groups {
  const opened = controllers.map((controller) => ({ controller, place: openPlace(controller) }))
  const places = opened.flatMap(({ place }) => (typeof place === 'string' ? [] : [place]))
  return {
    missing: Object.fromEntries(
      opened.flatMap(({ controller, place }) => (typeof place === 'string' ? [[controller, place]] : [])),
    ),
    create: async (name, limits) => createGroup(places, name, limits),
  }
}

/** Opens (makes) the folder `prunella` below our own group. Returns the reason when that cannot be. */
function openPlace(controller: Controller): Place | string {
  try {
    const found = locate(readFileSync('/proc/mounts', 'utf8'), readFileSync('/proc/self/cgroup', 'utf8'), controller)
    if (found === null) return 'there are no cgroups'
    const { mount, own, version } = found
    // In a container the mount may show our own group as its root.
    const parent = [join(mount, own), mount].find(isGroup) ?? mount
    if (version === 2) {
      if (!words(join(parent, 'cgroup.controllers')).includes(controller))
        return `the ${controller} controller is not available`
      if (!words(join(parent, 'cgroup.subtree_control')).includes(controller)) {
        writeFileSync(join(parent, 'cgroup.subtree_control'), `+${controller}`)
      }
    }
    const folder = join(parent, 'prunella')
    mkdirSync(folder, { recursive: true })
    if (version === 2) writeFileSync(join(folder, 'cgroup.subtree_control'), `+${controller}`)
    removeEmpty(folder)
    return { controller, folder, version }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function createGroup(places: readonly Place[], name: string, limits: GroupLimits): Promise<Group | null> {
  const memory = limits.memoryBytes === null ? undefined : places.find(({ controller }) => controller === 'memory')
  const pids = places.find(({ controller }) => controller === 'pids')
  const cpu = places.find(({ controller }) => controller === 'cpu')
  // Version 1 has a tree for each controller, version 2 one for all.
  const groups = [
    ...new Set([memory, pids, cpu].flatMap((place) => (place === undefined ? [] : [join(place.folder, name)]))),
  ]
  if (groups.length === 0) return null
  await Promise.all(groups.map((group) => mkdir(group)))
  const processLimit = pids === undefined ? null : join(pids.folder, name, processLimitFile)
  const settings: (readonly [file: string, value: number])[] = []
  if (memory !== undefined) {
    const group = join(memory.folder, name)
    settings.push([join(group, memoryFiles[memory.version].limit), limits.memoryBytes ?? 0])
    if (memory.version === 2) settings.push([join(group, 'memory.oom.group'), 1])
  }
  if (processLimit !== null) settings.push([processLimit, limits.processes])
  await Promise.all([...settings.map(([file, value]) => writeFile(file, String(value))), weigh(cpu)])
  const entryFiles = groups.map((group) => join(group, 'cgroup.procs'))
  return {
    entryFiles,
    limitsMemory: memory !== undefined,
    async enter(pid) {
      for (const file of entryFiles) await writeFile(file, String(pid))
    },
    oomKills: () =>
      memory === undefined ? 0 : countOomKills(join(memory.folder, name, memoryFiles[memory.version].events)),
    kill() {
      try {
        if (processLimit !== null) writeFileSync(processLimit, '0') // Who is killed must not fork ahead of us.
        for (const file of entryFiles) for (const pid of words(file)) sendSignal(Number(pid), 'SIGKILL')
      } catch {
        // Somebody else removed the group: it was empty.
      }
    },
    async remove() {
      const removed = await Promise.all(
        groups.map((group) =>
          rmdir(group).then(
            () => true,
            () => false, // Busy: somebody in it is still dying.
          ),
        ),
      )
      await weigh(cpu)
      return removed.every((done) => done)
    },
  }
}

/**
 * Gives our folder the weight of all its groups. By itself it weighs as one process outside, and twenty replicas would
 * share that: beside 16 busy processes on 2 cores a pulse came 13 s late.
 */
async function weigh(cpu: Place | undefined): Promise<void> {
  if (cpu === undefined) return
  const { file, one, most } = weights[cpu.version]
  const groups = (await readdir(cpu.folder, { withFileTypes: true })).filter((entry) => entry.isDirectory())
  await writeFile(join(cpu.folder, file), String(Math.min(most, one * Math.max(1, groups.length))))
}

function countOomKills(path: string): number {
  try {
    return Number(/^oom_kill (\d+)/m.exec(readFileSync(path, 'latin1'))?.[1] ?? 0)
  } catch {
    return 0 // Somebody else removed the group.
  }
}

/** Groups of a supervisor that died. Those with processes in them refuse, which is right. */
function removeEmpty(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue
    try {
      rmdirSync(join(folder, entry.name))
    } catch {
      // In use.
    }
  }
}

function isGroup(path: string): boolean {
  try {
    readFileSync(join(path, 'cgroup.procs'))
    return true
  } catch {
    return false
  }
}

function words(path: string): readonly string[] {
  return readFileSync(path, 'latin1').match(/\S+/g) ?? []
}
