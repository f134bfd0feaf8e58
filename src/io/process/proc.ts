import { readdirSync, readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'

/** What /proc/<pid>/stat says, reduced to what we use. */
export interface ProcessStat {
  readonly pid: number
  /** One letter: R, S, D, T, t, Z, X, I. */
  readonly state: string
  readonly parent: number
  readonly group: number
  /** CPU time of all its threads, in ticks of 10 ms. */
  readonly cpuTicks: number
  /** Since boot, in ticks. With `pid` it names one process for ever. */
  readonly startTicks: number
  readonly residentBytes: number
}

/** Linux fixes the unit of /proc at 100 a second for user space, whatever the kernel's own. */
export const tickMs = 10
const pageBytes = 4096

/** The name in parentheses may hold anything, so the fields are counted from the last `)`. */
export function parseStat(text: string): ProcessStat | null {
  const close = text.lastIndexOf(')')
  const fields = text.slice(close + 2).split(' ')
  const number = (at: number) => Number(fields[at])
  const stat = {
    pid: Number.parseInt(text, 10),
    state: fields[0] ?? '',
    parent: number(1),
    group: number(2),
    cpuTicks: number(11) + number(12),
    startTicks: number(19),
    residentBytes: number(21) * pageBytes,
  }
  return close > 0 && Number.isFinite(stat.residentBytes) ? stat : null
}

/** Null when there is no such process, or no /proc. */
export function readStatNow(pid: number): ProcessStat | null {
  return parseStat(readNow(pid, 'stat') ?? '')
}

function readNow(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return null // The process is gone, or not ours to look at.
  }
}

export async function readStat(pid: number): Promise<ProcessStat | null> {
  const text = await readOrNull(`/proc/${pid}/stat`)
  return text === null ? null : parseStat(text)
}

/** A scan lets other work run after this long. */
const sliceMs = 2

/**
 * Every living process with memory of its own: no kernel threads, no zombies, not
 * ourselves. Nothing where there is no /proc. Reads synchronously, in slices:
 * /proc is memory, 20 µs a file, where a promise costs five times as much.
 */
export async function* scanProcesses(): AsyncGenerator<ProcessStat> {
  let sliceEndMs = performance.now() + sliceMs
  for (const pid of listPids()) {
    if (performance.now() > sliceEndMs) {
      await new Promise((resolve) => setImmediate(resolve))
      sliceEndMs = performance.now() + sliceMs
    }
    const stat = readStatNow(pid)
    if (stat !== null && stat.residentBytes > 0 && isAlive(stat) && pid !== process.pid) yield stat
  }
}

function listPids(): readonly number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}

/** The value of one variable in the environment a process was started with, or null. */
export function readVariableNow(pid: number, name: string): string | null {
  const entry = readNow(pid, 'environ')
    ?.split('\0')
    .find((line) => line.startsWith(`${name}=`))
  return entry === undefined ? null : entry.slice(name.length + 1)
}

/** The real user id of a process, or null. */
export function readUserNow(pid: number): number | null {
  const match = /^Uid:\s+(\d+)/m.exec(readNow(pid, 'status') ?? '')
  return match === null ? null : Number(match[1])
}

/** Living children of all threads of a process. */
export async function countChildren(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => [])
  const lists = await Promise.all(threads.map((thread) => readOrNull(`/proc/${pid}/task/${thread}/children`)))
  const pids = lists.flatMap((list) =>
    (list ?? '')
      .split(' ')
      .filter((child) => child !== '')
      .map(Number),
  )
  const stats = await Promise.all(pids.map(readStat))
  return stats.filter((stat) => stat !== null && isAlive(stat)).length
}

/** Memory of one process with shared pages divided among their users, bytes; null when it may not be read. */
export async function readProportionalBytes(pid: number): Promise<number | null> {
  const text = await readOrNull(`/proc/${pid}/smaps_rollup`)
  const match = text === null ? null : /^Pss:\s+(\d+) kB/m.exec(text)
  return match === null ? null : Number(match[1]) * 1024
}

export interface OpenFiles {
  readonly count: number
  /** The soft limit; null when there is none. */
  readonly limit: number | null
}

/** Open file descriptors of one process; null when they may not be seen: it runs under another user id, and we are not root. */
export async function readOpenFiles(pid: number): Promise<OpenFiles | null> {
  const [files, text] = await Promise.all([
    readdir(`/proc/${pid}/fd`).catch(() => null),
    readOrNull(`/proc/${pid}/limits`),
  ])
  return files === null ? null : { count: files.length, limit: parseOpenFilesLimit(text ?? '') }
}

/** The soft limit of /proc/<pid>/limits; null when it is unlimited, or not there. */
export function parseOpenFilesLimit(limits: string): number | null {
  const match = /^Max open files\s+(\d+)\s/m.exec(limits)
  return match === null ? null : Number(match[1])
}

/** A zombie is gone: it holds nothing but its number. */
export function isAlive(stat: ProcessStat): boolean {
  return stat.state !== 'Z' && stat.state !== 'X'
}

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'latin1')
  } catch {
    return null // The process is gone, or not ours to look at.
  }
}

/** Sends a signal to a process, or to a group when `pid` is negative. False when nobody (we may signal) is there. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}
