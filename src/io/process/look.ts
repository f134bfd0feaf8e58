import type { ProcessLook } from '../../model/observation.ts'
import { countChildren, readStat, tickMs } from './proc.ts'

const gone: ProcessLook = { state: 'gone', cpuMs: 0, children: 0 }

/** Looks at a silent process from outside, without touching it. */
export async function look(pid: number | null): Promise<ProcessLook> {
  const stat = pid === null ? null : await readStat(pid)
  if (stat === null) return gone
  return { state: stateOf(stat.state), cpuMs: stat.cpuTicks * tickMs, children: await countChildren(stat.pid) }
}

/** The kernel's letters in the six words we act on. */
export function stateOf(letter: string): ProcessLook['state'] {
  switch (letter) {
    case 'R':
    case 'D':
    case 'T':
    case 'Z':
      return letter
    case 't': // Stopped by a debugger.
      return 'T'
    case 'X':
    case 'x':
      return 'gone'
    default: // S; I, P, K, W are sleeps with other names.
      return 'S'
  }
}
