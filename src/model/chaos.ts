import type { ActionKind, Culprit, FaultKind } from './fault.ts'
import type { PoolName, ReplicaName, TaskId } from './ids.ts'

/**
 * How a fault gets into a running pool. `process`: by a signal from outside, any
 * agent in any language. `agent`: the host of a module agent misbehaves in place
 * of one attempt. `dependency`: the node's check and the agents' calls fail.
 */
export type ChaosPlace = 'process' | 'agent' | 'dependency'

export interface ChaosSpec {
  readonly what: string
  readonly place: ChaosPlace
  /** The right verdict: any of these kinds with any of these culprits. Null: nobody may be accused of anything. */
  readonly verdict: { readonly kinds: readonly FaultKind[]; readonly culprits: readonly Culprit[] } | null
  /** What may be done about it, to whom it struck; everything else is a wrong action. */
  readonly actions: readonly ActionKind[]
  /** How the task it struck must end: a fault of the agent costs the task nothing. */
  readonly task: 'done' | 'dead_letter'
  /** How long it lasts by default; null: it is over in the moment in which it strikes, or when it is mended. */
  readonly forMs: number | null
  /** Without a limit it would hurt the machine instead of the replica. */
  readonly needsMemoryLimit?: true
}

/** One failure does not tell an agent's fault from its task's: until more is seen, `unknown` is the honest verdict. */
const one = ['agent', 'unknown'] as const
const replaced = ['hard_restart', 'replace'] as const
function dies(place: ChaosPlace, kind: FaultKind, what: string): ChaosSpec {
  return { what, place, verdict: { kinds: [kind], culprits: one }, actions: replaced, task: 'done', forMs: null }
}

function specs<Name extends string>(table: Readonly<Record<Name, ChaosSpec>>): Readonly<Record<Name, ChaosSpec>> {
  return table
}

/** Every fault that a node started with `--chaos` can inject. */
export const chaosTable = specs({
  crash: dies('process', 'crashed', 'the process gets SIGKILL'),
  segfault: dies('process', 'crashed', 'the process gets SIGSEGV'),
  freeze: dies('process', 'unresponsive', 'the process gets SIGSTOP and stays stopped'),
})

export type ChaosFault = keyof typeof chaosTable
export const chaosFaults = Object.keys(chaosTable) as readonly ChaosFault[]

/** What is asked for. One of pool and replica is given, or both. */
export interface ChaosRequest {
  readonly fault: ChaosFault
  readonly pool?: PoolName
  readonly replica?: ReplicaName
  /** Default: the first one that the pool depends on. */
  readonly dependency?: string
  readonly forMs?: number
  readonly reason: string
}

/** The moment in which an injected fault hit. A task that is poisoned strikes each replica that gets it. */
export interface ChaosStrike {
  readonly atMs: number
  readonly replica: ReplicaName | null
  readonly incarnation: number | null
  /** The attempt that misbehaves; null where it is the process or a dependency that does. */
  readonly taskId: TaskId | null
}

/** One injected fault, so that nobody mistakes it for a real one. Kept in memory; the ledger has who asked for it, and when. */
export interface Injection {
  readonly id: string
  readonly fault: ChaosFault
  readonly pool: PoolName
  readonly replica: ReplicaName | null
  readonly dependency: string | null
  readonly who: string
  readonly atMs: number
  readonly forMs: number | null
  /** Empty until it has struck: a fault of an attempt waits for the replica's next task, at most `limits.chaosArmedMs`. */
  readonly strikes: readonly ChaosStrike[]
}
