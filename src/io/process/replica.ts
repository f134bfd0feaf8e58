import type { HostEffect, LogLine } from '../../port/process-host.ts'
import type { SupervisorFrame } from '../../protocol/frames.ts'

type Without<Frame> = Frame extends unknown ? Omit<Frame, 'leaseMs'> : never
export type SabotageFrame = Without<Extract<SupervisorFrame, { readonly type: 'misbehave' | 'outage' }>>

/** What the host gives an effect to: one incarnation of one replica. */
export interface Replica {
  readonly incarnation: number
  apply(effect: Exclude<HostEffect, { readonly kind: 'spawn' }>): void
  /** Tells its host to misbehave; a command without protocol has none. */
  sabotage(frame: SabotageFrame): void
  /** The inbox has room again. */
  resume(): void
  everySecond(): void
  /** Living processes: their ids, and how to kill one that is over its memory limit. */
  processes(): readonly WatchedProcess[]
  /** SIGKILL at once; resolves when it and all it started are gone, or were given up. */
  close(): Promise<void>
}

export interface WatchedProcess {
  readonly pid: number
  /** Whether the kernel keeps its memory limit. */
  readonly isLimited: boolean
  killForMemory(evidence: string): void
}

/** What a replica tells its host besides observations. */
export interface ReplicaHooks {
  log(stream: LogLine['stream'], text: string): void
  unkillable(pid: number): void
  /** It is gone: nothing more comes from it. */
  gone(): void
}
