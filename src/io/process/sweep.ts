import { type ProcessStat, readUserNow, readVariableNow, scanProcesses, sendSignal } from './proc.ts'

/** A process found in a scan. Environment and user are read only when asked for. */
export interface Seen {
  readonly stat: ProcessStat
  /** Its `PRUNELLA_PROCESS`, or null. */
  marker(): string | null
  user(): number | null
}

export type Matches = (seen: Seen) => boolean

/** A fork bomb can outrun a scan; it cannot outrun this many. */
const roundsMax = 40
const pauseMaxMs = 100

/**
 * Kills every process that matches, with its group and descendants, and looks
 * again until none is left. Scans of /proc are shared by all that wait.
 */
export interface Sweeper {
  /** @returns Process ids that were still there when it gave up; empty when all are gone. */
  sweep(matches: Matches, boundMs: number): Promise<SweepResult>
}

export interface SweepResult {
  readonly killed: number
  readonly remaining: readonly number[]
}

interface Target {
  readonly matches: Matches
  readonly giveUpAtMs: number
  readonly killed: Set<number>
  rounds: number
  readonly resolve: (result: SweepResult) => void
}

export function createSweeper(): Sweeper {
  const targets = new Set<Target>()
  let running = false

  async function run(): Promise<void> {
    running = true
    for (let pauseMs = 1; targets.size > 0; pauseMs = Math.min(pauseMs * 2, pauseMaxMs)) {
      const joined = [...targets] // Who comes during a scan waits for the next one.
      const found = await scan(joined.map((target) => target.matches))
      joined.forEach((target, at) => {
        const pids = found[at] ?? []
        for (const pid of pids) target.killed.add(pid)
        target.rounds += 1
        const over = target.rounds >= roundsMax || performance.now() >= target.giveUpAtMs
        if (pids.length > 0 && !over) return
        targets.delete(target)
        target.resolve({ killed: target.killed.size, remaining: pids })
      })
      if (targets.size > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
    running = false
  }

  return {
    sweep(matches, boundMs) {
      return new Promise((resolve) => {
        targets.add({ matches, giveUpAtMs: performance.now() + boundMs, killed: new Set(), rounds: 0, resolve })
        if (!running) void run()
      })
    },
  }
}

/** Kills what matches, then the descendants of what matched. Returns the ids for each matcher. */
async function scan(matchers: readonly Matches[]): Promise<readonly (readonly number[])[]> {
  const found = matchers.map(() => new Set<number>())
  const children = new Map<number, number[]>()
  for await (const stat of scanProcesses()) {
    const siblings = children.get(stat.parent)
    if (siblings === undefined) children.set(stat.parent, [stat.pid])
    else siblings.push(stat.pid)
    const seen = see(stat)
    matchers.forEach((matches, at) => {
      if (matches(seen)) kill(stat.pid, found[at])
    })
  }
  for (const pids of found) {
    // A set's iteration also visits what is added meanwhile: this walks the whole tree.
    for (const pid of pids) for (const child of children.get(pid) ?? []) kill(child, pids)
  }
  return found.map((pids) => [...pids])
}

function kill(pid: number, killed: Set<number> | undefined): void {
  if (killed === undefined || killed.has(pid)) return
  sendSignal(pid, 'SIGKILL')
  killed.add(pid)
}

/** Each fact is read once a scan, and only when somebody asks. */
function see(stat: ProcessStat): Seen {
  let marker: string | null | undefined
  let user: number | null | undefined
  return {
    stat,
    marker() {
      if (marker === undefined) marker = readVariableNow(stat.pid, 'PRUNELLA_PROCESS')
      return marker
    },
    user() {
      if (user === undefined) user = readUserNow(stat.pid)
      return user
    },
  }
}
