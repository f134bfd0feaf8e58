import type { ReplicaRecord } from '../model/change.ts'
import type { Effect } from '../model/effect.ts'
import type { ReplicaName } from '../model/ids.ts'

/** The effects a process host carries out. */
export type HostEffect = Exclude<Effect, { readonly kind: 'answer' | 'probe' }>

export interface LogLine {
  readonly atMs: number
  readonly stream: 'stdout' | 'stderr' | 'log'
  readonly text: string
}

/**
 * Runs replicas as processes. Every outcome, success or failure, comes back as
 * an observation through the inbox; no method throws for something a process did.
 */
export interface ProcessHost {
  /** Carries out one effect. An effect of an incarnation that is not (or no longer) there does nothing. */
  apply(effect: HostEffect): void
  /**
   * Kills what a dead supervisor of the same store left behind: found by the
   * marker in the environment, or by process id together with start time.
   * Resolves when they are gone or two seconds have passed.
   */
  killOrphans(
    records: readonly ReplicaRecord[],
  ): Promise<{ readonly killed: number; readonly remaining: readonly number[] }>
  /** The newest captured output lines, oldest first. */
  logs(replica: ReplicaName): readonly LogLine[]
  /** What this host cannot do here, and why, e.g. no cgroup for the memory limit. */
  readonly blindSpots: readonly string[]
  /** Kills what is left, without grace. */
  close(): Promise<void>
}
