import type { Culprit, FaultKind } from '../model/fault.ts'
import type { ReplicaName, TaskId } from '../model/ids.ts'
import type { FailureMark } from '../model/rows.ts'

/** Faults that a task can carry from replica to replica. */
const carriedByTasks: ReadonlySet<FaultKind> = new Set([
  'crashed',
  'exited',
  'out_of_memory',
  'unresponsive',
  'protocol_violation',
  'stalled',
])

export interface Attribution {
  readonly culprit: Culprit
  /** The table behind the verdict, in words: part of the incident's evidence. */
  readonly because: string
}

/**
 * Whose fault is it (R1)? The cross table of replica and task over the marks of
 * the strike period, the new failure included as the last one.
 *
 * One task on several replicas: the task. One replica on several tasks, where
 * no other replica failed on those: the agent. Too little evidence: unknown,
 * which acts like agent at the mildest rung with a strike that is refunded when
 * the culprit changes.
 */
export function attribute(marks: readonly FailureMark[], now: FailureMark): Attribution {
  if (now.kind === 'start_failed') return { culprit: 'agent', because: 'no task was running' }
  const carried = marks.filter((mark) => carriedByTasks.has(mark.kind))
  const replicasOfTask = distinct(carried, (mark) => (mark.taskId === now.taskId ? mark.replica : null))
  const tasksOfReplica = distinct(carried, (mark) => (mark.replica === now.replica ? mark.taskId : null))
  if (now.taskId !== null && replicasOfTask.size >= 2) {
    return {
      culprit: 'task',
      because: `task ${now.taskId} failed on ${replicasOfTask.size} replicas (${[...replicasOfTask].join(', ')})`,
    }
  }
  if (tasksOfReplica.size >= 2) {
    return { culprit: 'agent', because: `${now.replica} failed on ${tasksOfReplica.size} different tasks` }
  }
  if (now.taskId === null) return { culprit: 'agent', because: `${now.replica} failed with no task in hand` }
  return { culprit: 'unknown', because: `first failure of ${now.replica} and of task ${now.taskId}` }
}

function distinct<Key extends ReplicaName | TaskId>(
  marks: readonly FailureMark[],
  key: (mark: FailureMark) => Key | null,
): ReadonlySet<Key> {
  const found = new Set<Key>()
  for (const mark of marks) {
    const value = key(mark)
    if (value !== null) found.add(value)
  }
  return found
}
