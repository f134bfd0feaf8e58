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
  readonly verdict: {
    readonly kinds: readonly FaultKind[]
    readonly culprits: readonly Culprit[]
    /** What it is rightly taken for on the way there. */
    readonly along?: readonly FaultKind[]
  } | null
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
const looping = {
  place: 'agent',
  verdict: { kinds: ['tool_loop'], culprits: one },
  actions: ['nudge', 'soft_restart'],
  task: 'done',
  forMs: null,
} as const
const stalling = { place: 'agent', verdict: { kinds: ['stalled'], culprits: one }, task: 'done' } as const
const recycled = { place: 'agent', actions: replaced, task: 'done', forMs: null, needsMemoryLimit: true } as const

function dies(place: ChaosPlace, kind: FaultKind, what: string): ChaosSpec {
  return { what, place, verdict: { kinds: [kind], culprits: one }, actions: replaced, task: 'done', forMs: null }
}

function specs<Name extends string>(table: Readonly<Record<Name, ChaosSpec>>): Readonly<Record<Name, ChaosSpec>> {
  return table
}

/** Every fault that a node started with `--chaos` can inject. Those of agents are done by `agent/chaos.ts`. */
export const chaosTable = specs({
  crash: dies('process', 'crashed', 'the process gets SIGKILL'),
  segfault: dies('process', 'crashed', 'the process gets SIGSEGV'),
  freeze: dies('process', 'unresponsive', 'the process gets SIGSTOP and stays stopped'),
  throw: dies('agent', 'crashed', 'an error is thrown where nobody catches it'),
  exit: dies('agent', 'exited', 'the process exits with 0 in the middle of a task'),
  garbage: dies('agent', 'protocol_violation', 'what is no frame is written into the channel'),
  spin: dies('agent', 'unresponsive', 'an endless loop blocks the main thread'),
  memory: {
    ...recycled,
    what: 'memory is allocated without end',
    verdict: { kinds: ['out_of_memory'], culprits: one },
  },
  leak: {
    ...recycled,
    what: 'memory grows towards its limit while the task goes on',
    verdict: { kinds: ['leaking'], culprits: one },
    actions: ['drain', ...replaced],
  },
  files: {
    ...{ place: 'agent', what: 'opened files are never closed', task: 'done', forMs: null },
    verdict: { kinds: ['fd_leak'], culprits: one },
    actions: ['drain', ...replaced],
  },
  hang: {
    ...stalling,
    what: 'a tool call never returns, past its deadline',
    actions: ['soft_restart'],
    forMs: 2_000,
  },
  deaf: {
    ...stalling,
    what: 'a tool call never returns, not even when it is aborted',
    actions: ['soft_restart', ...replaced],
    forMs: 2_000,
  },
  'tool-loop': { ...looping, what: 'the same tool call with the same result, again and again' },
  'tool-cycle': { ...looping, what: 'two tool calls in turn, with the same results' },
  'same-error': { ...looping, what: 'a tool call fails with the same error, whatever its arguments' },
  talk: { ...looping, what: 'the model talks and calls no tool' },
  monologue: { ...looping, what: 'the model says the same again and again' },
  context: {
    ...{ place: 'agent', what: 'the prompt grows until it fills the model’s window', task: 'done', forMs: null },
    verdict: { kinds: ['context_overflow'], culprits: one },
    actions: ['compact', 'soft_restart'],
  },
  poison: {
    ...{ place: 'agent', what: 'a task ends every process that gets it', task: 'dead_letter', forMs: null },
    verdict: { kinds: ['poison'], culprits: ['task'], along: ['crashed'] },
    actions: [...replaced, 'dead_letter'],
  },
  reject: {
    ...{ place: 'agent', what: 'run() rejects once', task: 'done', forMs: null },
    verdict: null,
    actions: [],
  },
  'slow-loop': {
    ...{ place: 'agent', what: 'the main thread is blocked for 800 ms of every second', task: 'done', forMs: 5_000 },
    verdict: null,
    actions: [],
  },
  outage: {
    ...{ place: 'dependency', what: 'a dependency fails its check and every call', task: 'done', forMs: 10_000 },
    verdict: {
      kinds: ['dependency_unavailable', 'database_unavailable', 'tool_unavailable', 'llm_unavailable'],
      culprits: ['dependency'],
    },
    actions: ['hold', 'resume'],
  },
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
