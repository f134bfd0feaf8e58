import { realpathSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { findCommand } from './command.ts'

/** How a replica's process is kept apart from the supervisor. */
export interface Isolation {
  /** Puts what is needed before `argv`. `user`: a user id of its own, or null for ours. */
  wrap(argv: readonly string[], user: number | null): readonly string[]
  /** First user id for replicas; null when we may not change it. */
  readonly firstUser: number | null
  /** Why something is missing, and the way out. */
  readonly blindSpots: readonly string[]
}

const firstUser = 61_000
/** Supervisors on one machine take ranges of their own, so that none sweeps another's replicas by user id. */
const userRange = 200
const userRanges = 20

/** @param wantUsers  False in tests that must not depend on who runs them. */
export function createIsolation(storeId: string, wantUsers = true): Isolation {
  const setpriv = findCommand('setpriv')
  const root = process.getuid?.() === 0
  const blindSpots: string[] = []
  if (setpriv === null) {
    blindSpots.push(
      'A replica that spins may outlive a killed supervisor until its next start: setpriv (util-linux) is not on PATH.',
    )
  }
  if (!root && wantUsers) {
    blindSpots.push(
      'Replicas run under the supervisor’s own user id and could harm it: start Prunella as root (as a container does) to give each its own.',
    )
  } else if (setpriv === null && wantUsers) {
    blindSpots.push('Replicas keep the supervisor’s user id: install setpriv (util-linux) to give each its own.')
  }
  return {
    firstUser: root && wantUsers && setpriv !== null ? firstUser + userRange * (hash(storeId) % userRanges) : null,
    blindSpots,
    wrap(argv, user) {
      if (setpriv === null) return argv
      const change = user === null ? [] : [`--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--no-new-privs']
      return [setpriv, ...change, '--pdeathsig', 'KILL', '--', ...argv]
    },
  }
}

/**
 * The first folder or file on the way to `path` that a foreign user may not pass
 * or read, or null. Judges by mode bits for others; the real path counts too.
 */
export function unreadableFor(user: number, path: string): string | null {
  const real = realOrSelf(path)
  for (const file of new Set([path, real])) {
    for (const folder of parents(file)) {
      if (!allows(folder, user, 0o1)) return folder
    }
  }
  return allows(real, user, statSync(real, { throwIfNoEntry: false })?.isDirectory() === true ? 0o1 : 0o4) ? null : real
}

function allows(path: string, user: number, bit: number): boolean {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return true // Not there: whoever opens it says so better.
  return (stat.mode & (stat.uid === user ? bit << 6 : bit)) !== 0
}

function parents(path: string): readonly string[] {
  const folder = dirname(path)
  return folder === path ? [] : [...parents(folder), folder]
}

function realOrSelf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** FNV-1a: spreads, nothing more. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (const char of text) value = Math.imul(value ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0
  return value
}
