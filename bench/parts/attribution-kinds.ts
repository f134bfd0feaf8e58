import type { Culprit } from '../../src/model/fault.ts'

/** A kind of injected fault, with whose fault it truly is: told by what was done, never by what was seen. */
export interface Kind {
  readonly truth: Culprit
  /** Why that is the truth. */
  readonly because: string
  /**
   * Where the verdict stands: in every incident of the pool since the injection (one wrong one is a wrong verdict);
   * in the silence, where the right reaction is to accuse nobody, so that no incident is as right as one that says
   * `node`; or in the ledger, for `task_failed`, which opens no incident: what was counted was charged to the task.
   */
  readonly told: 'incidents' | 'silence' | 'ledger'
}

function kind(truth: Culprit, because: string, told: Kind['told'] = 'incidents'): Kind {
  return { truth, because, told }
}

export const kinds = {
  crash: kind(
    'agent',
    'One process is killed once, whatever it works on. The task in its hand is innocent: it completes elsewhere.',
  ),
  heap_exhausted: kind('agent', 'The heap of one process runs full once; its task completes elsewhere.'),
  out_of_memory: kind('agent', 'One process is killed for its memory limit once; its task completes elsewhere.'),
  spinning: kind('agent', 'The main loop of one process stops turning, whatever it works on.'),
  stopped: kind('agent', 'One process is stopped (SIGSTOP), whatever it works on.'),
  stalled_call: kind(
    'agent',
    'One call of one replica never returns. It names no dependency, and the same call returns elsewhere.',
  ),
  going_in_circles: kind('agent', 'One replica repeats one call in whatever task it is given; its siblings do not.'),
  protocol_violation: kind('agent', 'One process writes what is no frame, whatever it works on.'),
  leak: kind('agent', 'The memory of one process grows without end, with tasks and without.'),
  lost_connections: kind(
    'agent',
    'The dependency is well and answers everybody else: one process has lost its own connections.',
  ),
  bad_start: kind('agent', 'One replica fails twice in its own setup; its siblings start, and the machine has room.'),
  repeated_crash: kind('agent', 'One replica, and no other, crashes in task after task.'),
  poison_crash: kind('task', 'One task ends every process that runs it; they complete all others.'),
  poison_memory: kind('task', 'One task takes more memory than any process of the pool may have.'),
  poison_spin: kind('task', 'One task makes every process spin; they complete all others.'),
  poison_garbage: kind('task', 'One task makes every process break the protocol; they complete all others.'),
  stalls_everywhere: kind('task', 'One task waits for what never comes, on whichever replica.'),
  circles_everywhere: kind('task', 'One task leads every agent into the same loop; the others finish.'),
  too_large: kind('task', 'The first prompt of one task fits into no window.'),
  rejected: kind(
    'task',
    'run() rejects one task in every attempt, and no other; what it depends on is well.',
    'ledger',
  ),
  provider_refuses: kind(
    'dependency',
    'The model provider refuses every call, from every replica, and says so in calls that name it.',
  ),
  provider_unnamed: kind(
    'dependency',
    'The model provider refuses every call; the agents name nothing, only the error has the words of it.',
  ),
  provider_hangs: kind('dependency', 'The model provider takes every call and answers none.'),
  provider_flaps: kind('dependency', 'The model provider is down every other half minute.'),
  provider_limits: kind('dependency', 'The provider turns every call away for its rate, while its own check passes.'),
  database_down: kind('dependency', 'The database that the pool needs is down for everybody.'),
  tool_lost: kind('dependency', 'A tool server that only some tasks need is down for all of them.'),
  supervisor_paused: kind(
    'node',
    'The supervisor is stopped and goes on; every agent was well all the time.',
    'silence',
  ),
  supervisor_slow: kind(
    'node',
    "The supervisor's own disk is slow, so it hears of everything late; every agent is well.",
    'silence',
  ),
  store_fails: kind('node', 'The store of this node refuses every write for a while; every agent is well.', 'silence'),
  starved: kind('node', 'Neighbours eat the processor: pulses come late, and no agent does anything wrong.', 'silence'),
  no_processes: kind('node', 'The machine has no more processes to give: whatever starts meanwhile is refused.'),
  one_crash_no_more: kind(
    'unknown',
    'One process ends with its only task, by a coin toss because of the one or the other, and the task is not tried again: nobody can tell.',
  ),
  one_stall_no_witness: kind(
    'unknown',
    'One call on a dependency never returns, by a coin toss because its answer or the connection was lost; nobody else sees anything.',
  ),
  crash_then_cancelled: kind(
    'unknown',
    'One process ends with its task, by a coin toss because of the one or the other; the task is cancelled before anybody tries it again.',
  ),
} satisfies Record<string, Kind>

export type KindName = keyof typeof kinds
export const kindNames = Object.keys(kinds) as KindName[]

/** Kinds that are done to real processes only. */
const moreKinds = {
  context_grows: kind(
    'agent',
    'One attempt lets its prompt grow until it fills the window; its task completes elsewhere.',
  ),
  files_leak: kind('agent', 'One process opens files and never closes them, with tasks and without.'),
  bad_build: kind(
    'agent',
    'The same bad build in every replica: none gets through its setup, and the machine has room.',
  ),
  provider_overloaded: kind('dependency', 'The provider answers every call, and its check, with status 503.'),
  provider_rejects_key: kind(
    'dependency',
    'The provider takes the key of the pool no more (401): every replica has the same, and no restart mends it.',
  ),
  provider_quota: kind(
    'dependency',
    'The quota is used up: every call is turned away with 429 and insufficient_quota, the list of models is still there.',
  ),
} satisfies Record<string, Kind>

export const allKinds = { ...kinds, ...moreKinds }
export type RealName = keyof typeof allKinds
export const realNames = Object.keys(allKinds) as RealName[]
