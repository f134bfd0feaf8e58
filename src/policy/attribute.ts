import type { Culprit, FaultKind } from '../model/fault.ts'
import type { ReplicaName, TaskId } from '../model/ids.ts'
import type { Attribution, Witness } from '../model/incident.ts'
import type { DependencyRow, FailureMark } from '../model/rows.ts'
import { isDown, isReplicasOwnFault, judgeDependency, reasonOf, tableOf } from './breaker.ts'

/** Faults that a task can carry from replica to replica. */
const carriedByTasks: ReadonlySet<FaultKind> = new Set([
  'crashed',
  'exited',
  'out_of_memory',
  'unresponsive',
  'protocol_violation',
  'stalled',
  'tool_loop',
  'context_overflow',
])
/** Faults that are told by the clock: a node that lags sees them where there are none. */
const toldByTheClock: ReadonlySet<FaultKind> = new Set(['unresponsive', 'stalled', 'start_failed'])
/** Half of what counts as a pause of our own: below it every threshold is stretched by the lag anyway, ms. */
const laggingMs = 1_000

/** What the verdict may look at beside the marks. */
export interface Circumstances {
  readonly nowMs: number
  /** The dependency that the evidence names, or the one that holds the pool. */
  readonly dependency: DependencyRow | null
  /** The task was found guilty before, and this is what was left to do about it. */
  readonly convicted?: boolean
  /** The machine itself refused: no memory, no process, no file to be had. */
  readonly nodeRefused: string | null
  /** The supervisor's own worst delay of late. */
  readonly lagMs: number
}

/**
 * Whose fault is it (R1)? The cross table of replica, task and dependency over
 * the marks of the strike period, the new failure included as the last one.
 *
 * Several replicas on one dependency: the dependency. One replica that fails
 * where its siblings do not: the agent, even if the symptom names the
 * dependency. One task on several replicas: the task. One replica on several
 * tasks: the agent. A machine that refuses, or a loop of our own that lags: the
 * node. Too little evidence: unknown, which acts like agent at the mildest rung
 * with a strike that is refunded when the culprit changes.
 */
export function attribute(marks: readonly FailureMark[], now: FailureMark, around: Circumstances): Attribution {
  const table = tableOfMarks(marks)
  const say = (culprit: Culprit, confidence: number, because: string): Attribution => ({
    culprit,
    confidence,
    because,
    table,
  })
  if (around.convicted === true)
    return say('task', 1, `its attempt at task ${now.taskId} was ended on the task's account`)
  const ofDependency = byDependency(now, around)
  if (ofDependency !== null) return ofDependency
  if (around.nodeRefused !== null) return say('node', 1, `this machine refused: ${around.nodeRefused}`)
  if (toldByTheClock.has(now.kind) && around.lagMs >= laggingMs)
    return say('node', 0.7, `this supervisor's own loop was ${(around.lagMs / 1000).toFixed(1)} s late`)
  if (now.kind === 'start_failed') return say('agent', 0.8, 'no task was running')
  const carried = marks.filter((mark) => carriedByTasks.has(mark.kind))
  const { taskId } = now
  const replicasOfTask = new Set(
    carried.filter(({ suspects }) => taskId !== null && suspects.includes(taskId)).map(({ replica }) => replica),
  )
  const tasksOfReplica = independentTasks(carried.filter(({ replica }) => replica === now.replica))
  if (replicasOfTask.size >= 2) {
    return say(
      'task',
      certainty(replicasOfTask.size),
      `task ${taskId} failed on ${replicasOfTask.size} replicas (${[...replicasOfTask].join(', ')})`,
    )
  }
  if (tasksOfReplica.size >= 2)
    return say(
      'agent',
      certainty(tasksOfReplica.size),
      `${now.replica} failed on ${tasksOfReplica.size} different tasks`,
    )
  if (taskId === null) return say('agent', 0.8, `${now.replica} failed with no task in hand`)
  return say('unknown', 0, `first failure of ${now.replica} and of task ${taskId}`)
}

/** What the dependency's own witnesses say, or null when its name is not in the evidence or they cannot tell. */
function byDependency(now: FailureMark, { dependency: row, nowMs }: Circumstances): Attribution | null {
  if (row === null) return null
  const { name } = row.spec
  const table = tableOf(row)
  if (isDown(row)) return { culprit: 'dependency', confidence: 1, because: `${name} is down: ${reasonOf(row)}`, table }
  if (isReplicasOwnFault(row, now.replica)) {
    const because = `${now.replica} alone fails on ${name}: others get through`
    return { culprit: 'agent', confidence: 0.9, because, table }
  }
  const verdict = judgeDependency(row, nowMs)
  if (verdict.kind === 'up') return null
  if (verdict.kind === 'down')
    return { culprit: 'dependency', confidence: verdict.confidence, because: `${name}: ${verdict.reason}`, table }
  return {
    culprit: 'unknown',
    confidence: 0,
    because: `${now.replica} failed on ${name}, and nobody else has yet`,
    table,
  }
}

/** Two witnesses could be chance, five are not. */
function certainty(witnesses: number): number {
  return 1 - 0.5 ** (witnesses - 1) * 0.6
}

function tableOfMarks(marks: readonly FailureMark[]): readonly Witness[] {
  const rows = new Map<ReplicaName, { failures: number; taskIds: TaskId[] }>()
  for (const { replica, taskId } of marks) {
    const row = rows.get(replica) ?? { failures: 0, taskIds: [] }
    const taskIds = taskId === null || row.taskIds.includes(taskId) ? row.taskIds : [...row.taskIds, taskId].slice(-5)
    rows.set(replica, { failures: row.failures + 1, taskIds })
  }
  return [...rows].map(([replica, { failures, taskIds }]) => ({ replica, failures, successes: 0, taskIds }))
}

/** Tasks of failures that share no suspect: two failures of which one task may be the cause say nothing about the replica. */
function independentTasks(marks: readonly FailureMark[]): ReadonlySet<TaskId> {
  const seen = new Set<TaskId>()
  const tasks = new Set<TaskId>()
  for (const { taskId, suspects } of marks) {
    if (taskId !== null && !suspects.some((id) => seen.has(id))) tasks.add(taskId)
    for (const id of suspects) seen.add(id)
  }
  return tasks
}
