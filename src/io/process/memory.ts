import type { Clock } from '../../port/clock.ts'
import type { Inbox } from '../../port/inbox.ts'
import type { Subject } from './observe.ts'
import {
  type OpenFiles,
  type ProcessStat,
  readOpenFiles,
  readProportionalBytes,
  readStat,
  scanProcesses,
} from './proc.ts'
import type { WatchedProcess } from './replica.ts'

/** A replica whose memory is looked at. */
export interface MemorySubject {
  readonly subject: Subject
  readonly limitBytes: number | null
  readonly processes: readonly WatchedProcess[]
}

const mebibyte = 1024 * 1024

/** Resident memory and open files of each replica's own processes; not of what those started. */
export async function reportMemory(subjects: readonly MemorySubject[], inbox: Inbox, clock: Clock): Promise<void> {
  for (const { subject, processes } of subjects) {
    const stats = await Promise.all(processes.map(({ pid }) => readStat(pid)))
    const bytes = stats.reduce((sum, stat) => sum + (stat?.residentBytes ?? 0), 0)
    if (bytes === 0) continue
    const most = fullest(await Promise.all(processes.map(({ pid }) => readOpenFiles(pid))))
    const openFiles = most?.count ?? null
    inbox.push({
      ...subject,
      kind: 'memory',
      bytes,
      openFiles,
      openFilesLimit: most?.limit ?? null,
      atMs: clock.nowMs(),
    })
  }
}

/**
 * Keeps the limits where the kernel does not: one look at all processes, and who
 * is over with everything it started is killed as the kernel would have.
 */
export async function enforceMemory(subjects: readonly MemorySubject[]): Promise<void> {
  const watched = subjects.flatMap(({ limitBytes, processes }) =>
    limitBytes === null
      ? []
      : processes.filter(({ isLimited }) => !isLimited).map((process) => ({ process, limitBytes })),
  )
  if (watched.length === 0) return
  const all: ProcessStat[] = []
  for await (const stat of scanProcesses()) all.push(stat)
  const children = Map.groupBy(all, ({ parent }) => parent)
  const groups = Map.groupBy(all, ({ group }) => group)
  for (const { process, limitBytes } of watched) {
    const tree = new Map((groups.get(process.pid) ?? []).map((stat) => [stat.pid, stat]))
    for (const [pid] of tree) for (const child of children.get(pid) ?? []) tree.set(child.pid, child)
    if (sum([...tree.values()].map(({ residentBytes }) => residentBytes)) <= limitBytes) continue
    // Pages shared with other replicas (Node itself) are counted in full above; this is exact, and costs milliseconds.
    const exact = await Promise.all(
      [...tree.values()].map(async (stat) => (await readProportionalBytes(stat.pid)) ?? stat.residentBytes),
    )
    if (sum(exact) <= limitBytes) continue
    const used = Math.round(sum(exact) / mebibyte)
    process.killForMemory(
      `Killed at ${used} MiB of memory; the limit is ${Math.round(limitBytes / mebibyte)} MiB (checked once a second).`,
    )
  }
}

/** Each process has a limit of its own, so the one with the most files is the one to watch. */
function fullest(all: readonly (OpenFiles | null)[]): OpenFiles | null {
  return all.reduce((most, one) => (one !== null && one.count > (most?.count ?? -1) ? one : most), null)
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
