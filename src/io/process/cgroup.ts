import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sendSignal } from './proc.ts'

/** Kernel groups that limit memory: the kernel kills at the limit, at once, and counts it. */
export interface MemoryGroups {
  /** @throws when the kernel refuses; the caller falls back to polling. */
  create(name: string, limitBytes: number): Promise<MemoryGroup>
}

export interface MemoryGroup {
  /** A process that writes `0` here, and all it starts from then on, is in the group. */
  readonly entryFile: string
  /** How often the kernel has killed for memory here. */
  oomKills(): number
  /** Kills every process in it, whatever session or user it moved to. */
  kill(): Promise<void>
  /** Only an empty group can be removed; false when it is not. */
  remove(): Promise<boolean>
}

interface Flavour {
  readonly limitFile: string
  readonly eventsFile: string
  /** Written once after creation: file and value. */
  readonly extra: readonly (readonly [string, string])[]
}

const v1: Flavour = { limitFile: 'memory.limit_in_bytes', eventsFile: 'memory.oom_control', extra: [] }
const v2: Flavour = { limitFile: 'memory.max', eventsFile: 'memory.events', extra: [['memory.oom.group', '1']] }

/** Where the memory controller can be used, from the texts of /proc/mounts and /proc/self/cgroup. */
export function locate(
  mounts: string,
  self: string,
): { readonly mount: string; readonly own: string; readonly version: 1 | 2 } | null {
  const own = new Map(
    [...self.matchAll(/^\d+:([^:]*):(.*)$/gm)].map(([, controllers = '', path = '/']) => [controllers, path]),
  )
  for (const line of mounts.split('\n')) {
    const [, mount = '', kind, options = ''] = line.split(' ')
    if (kind === 'cgroup' && options.split(',').includes('memory')) {
      const path = [...own].find(([controllers]) => controllers.split(',').includes('memory'))?.[1] ?? '/'
      return { mount, own: path, version: 1 }
    }
  }
  const unified = mounts.split('\n').find((line) => line.split(' ')[2] === 'cgroup2')
  return unified === undefined ? null : { mount: unified.split(' ')[1] ?? '', own: own.get('') ?? '/', version: 2 }
}

/** Opens (makes) the folder `prunella` below our own group. Returns the reason when that cannot be. */
export function openMemoryGroups(): MemoryGroups | string {
  try {
    const place = locate(readFileSync('/proc/mounts', 'utf8'), readFileSync('/proc/self/cgroup', 'utf8'))
    if (place === null) return 'there are no cgroups'
    // In a container the mount may show our own group as its root.
    const parent = [join(place.mount, place.own), place.mount].find(isGroup) ?? place.mount
    if (place.version === 2) {
      if (!words(join(parent, 'cgroup.controllers')).includes('memory')) return 'the memory controller is not available'
      if (!words(join(parent, 'cgroup.subtree_control')).includes('memory')) {
        writeFileSync(join(parent, 'cgroup.subtree_control'), '+memory')
      }
    }
    const folder = join(parent, 'prunella')
    mkdirSync(folder, { recursive: true })
    if (place.version === 2) writeFileSync(join(folder, 'cgroup.subtree_control'), '+memory')
    removeEmpty(folder)
    return groupsIn(folder, place.version === 1 ? v1 : v2)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function groupsIn(folder: string, flavour: Flavour): MemoryGroups {
  return {
    async create(name, limitBytes) {
      const group = join(folder, name)
      await mkdir(group)
      await writeFile(join(group, flavour.limitFile), String(limitBytes))
      for (const [file, value] of flavour.extra) await writeFile(join(group, file), value)
      const entryFile = join(group, 'cgroup.procs')
      return {
        entryFile,
        oomKills: () => countOomKills(join(group, flavour.eventsFile)),
        async kill() {
          const members = (await readFile(entryFile, 'latin1')).split('\n').filter((pid) => pid !== '')
          for (const pid of members) sendSignal(Number(pid), 'SIGKILL')
        },
        remove: () =>
          rmdir(group).then(
            () => true,
            () => false, // Busy: somebody in it is still dying.
          ),
      }
    },
  }
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
  return readFileSync(path, 'latin1').trim().split(/\s+/)
}
