/** What becomes of a suspect task says whose fault its failures were: it is guilty, it is innocent, or nobody will know. */
import type { FaultKind } from '../model/fault.ts'
import type { ReplicaName, TaskId } from '../model/ids.ts'
import type { Attribution, Incident } from '../model/incident.ts'
import type { FailureMark, ReplicaRow } from '../model/rows.ts'
import { reattribute } from './incident.ts'
import type { Draft, View } from './outcome.ts'
import { recordOf } from './rows.ts'

/** Faults that a dependency causes in an agent that is sound: of these an innocent task does not convict the agent. */
const causedByDependencies: ReadonlySet<FaultKind> = new Set(['stalled', 'task_failed'])

/** The task is guilty: what it was charged for elsewhere is refunded, in rows and records (R1). */
export function blameTask(draft: Draft, view: View, taskId: TaskId, verdict: Attribution): void {
  for (const row of [view.replica, ...view.siblings]) refundStrikes(draft, row, taskId)
  const scenes = (draft.pool ?? view.pool).marks.filter(({ suspects }) => suspects.includes(taskId))
  for (const incident of openIncidents(draft, view)) {
    const isOfIt = incident.taskId === taskId || scenes.some((mark) => isFrom(incident, mark))
    if (isOfIt && incident.fault.culprit !== 'task') change(draft, view, reattribute(incident, verdict, view.nowMs))
  }
}

/**
 * A suspect has completed, so it is not what ended its replicas: where no other
 * suspect is left, it was the agent. A stall on a dependency may still have been
 * that, so it stays unknown.
 */
export function acquitTask(draft: Draft, view: View, taskId: TaskId): void {
  const pool = draft.pool ?? view.pool
  const scenes = pool.marks.filter(({ suspects }) => suspects.includes(taskId))
  if (scenes.length === 0) return
  const without = (mark: FailureMark): FailureMark => ({
    ...mark,
    suspects: mark.suspects.filter((id) => id !== taskId),
    awaited: mark.awaited.filter((id) => id !== taskId),
  })
  draft.pool = { ...pool, marks: pool.marks.map((mark) => (scenes.includes(mark) ? without(mark) : mark)) }
  const solved = scenes.filter(({ suspects }) => suspects.length === 1)
  const because = `what it had in hand completed: task ${taskId} did on ${view.replica.name}`
  for (const incident of openIncidents(draft, view)) {
    if (incident.fault.culprit !== 'unknown' || !solved.some((mark) => isFrom(incident, mark))) continue
    if (incident.dependency !== null && causedByDependencies.has(incident.fault.kind)) {
      wake(draft, view, incident)
      continue
    }
    const table = incident.verdict?.table ?? []
    const verdict = { culprit: 'agent', confidence: 0.8, because, table } as const
    change(draft, view, reattribute(incident, verdict, view.nowMs))
  }
}

/** It will not be tried again, and did not complete: what is unknown about it stays unknown. */
export function closeCase(draft: Draft, view: View, taskId: TaskId): void {
  const pool = draft.pool ?? view.pool
  if (!pool.marks.some(({ awaited }) => awaited.includes(taskId))) return
  draft.pool = {
    ...pool,
    marks: pool.marks.map((mark) => ({ ...mark, awaited: mark.awaited.filter((id) => id !== taskId) })),
  }
  for (const incident of openIncidents(draft, view)) if (incident.taskId === taskId) wake(draft, view, incident)
}

/**
 * Until when an incident waits for its verdict: its culprit is unknown, and a
 * task that was in hand is still to be tried again. Null: it waits for nothing.
 */
export function verdictDueMs({ pool, incident, spec }: View): number | null {
  if (incident === null || incident.fault.culprit !== 'unknown') return null
  const mark = pool.marks.findLast((each) => each.awaited.length > 0 && isFrom(incident, each))
  return mark === undefined ? null : mark.atMs + spec.recovery.strikePeriodMs
}

/** The incident took this failure up: it acted on it in the same moment. */
function isFrom({ actions }: Incident, { atMs, replica }: FailureMark): boolean {
  return actions.some((action) => action.atMs === atMs && action.replica === replica)
}

function openIncidents(draft: Draft, view: View): readonly Incident[] {
  return [...view.incidents.values()]
    .map((incident) => draft.incidents.get(incident.id) ?? incident)
    .filter(({ pool, status }) => pool === view.spec.name && status !== 'closed')
}

function change(draft: Draft, view: View, incident: Incident): void {
  draft.setIncident(incident)
  draft.change({ kind: 'incident', incident })
  wake(draft, view, incident)
}

/** Its replica may have waited for this to pass its probation. */
function wake(draft: Draft, view: View, incident: Incident): void {
  const row = rowOf(view, incident.replica)
  if (row !== undefined) draft.setReplica(draft.replica(row))
}

function rowOf(view: View, name: ReplicaName | null): ReplicaRow | undefined {
  return [view.replica, ...view.siblings].find((row) => row.name === name)
}

/** Gives back the strikes that a replica was charged for a task that turned out to be guilty. */
function refundStrikes(draft: Draft, row: ReplicaRow, taskId: string): void {
  const current = draft.replica(row)
  const kept = current.strikes.filter((strike) => strike.taskId !== taskId)
  if (kept.length === current.strikes.length) return
  const refunded = { ...current, strikes: kept }
  draft.setReplica(refunded)
  draft.change({ kind: 'replica', record: recordOf(refunded) })
}
