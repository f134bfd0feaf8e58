import type { BudgetVerdict } from '../model/detect.ts'
import type { ActionKind, Fault, FaultKind } from '../model/fault.ts'
import { act, close, openIncident } from './incident.ts'
import type { Draft } from './outcome.ts'

/** A task is guilty, and what is done about it is done with the decision itself: the incident opens and closes at once. */
export interface TaskCase {
  readonly fault: FaultKind
  readonly action: Extract<ActionKind, 'dead_letter' | 'hold'>
  readonly pool: string
  readonly taskId: string
  readonly firstSignMs: number
  readonly reason: string
  readonly evidence: readonly string[]
  /** How it stands from here on, in words. */
  readonly closing: string
}

export function recordTaskCase(draft: Draft, about: TaskCase, nowMs: number): void {
  const { pool, taskId, reason } = about
  const fault: Fault = {
    ...{
      kind: about.fault,
      culprit: 'task' as const,
      pool,
      replica: null,
      incarnation: null,
      taskId,
      dependency: null,
    },
    ...{ firstSignMs: about.firstSignMs, evidence: about.evidence },
  }
  const action = {
    ...{ kind: about.action, atMs: nowMs, replica: null, incarnation: null, taskId, strike: 0, reason },
  } as const
  const opened = act(openIncident(fault, nowMs, taskId), action)
  const actions = opened.actions.map((done) => ({ ...done, status: 'done' as const, endedMs: nowMs }))
  const incident = close({ ...opened, recoveredMs: nowMs, actions }, nowMs, about.closing)
  draft.setIncident(incident)
  draft.change({ kind: 'incident', incident })
  draft.notice(
    { kind: 'incident', incident, severity: 'warning', change: 'opened', atMs: nowMs },
    {
      ...{ kind: 'action', pool, replica: null, taskId, action: about.action, fault: about.fault },
      ...{ incidentId: incident.id, reason, atMs: nowMs },
    },
  )
}

/** The task has used up its budget: that is told once, whoever ended its attempt. */
export function blameSpender(
  draft: Draft,
  { nowMs, ...task }: Pick<TaskCase, 'pool' | 'taskId'> & { readonly nowMs: number },
  { fault, evidence }: BudgetVerdict,
): void {
  const reason = evidence[0] ?? 'its budget is used up'
  const closing = `the task is held, its journal is kept: \`prunella resolve ${task.taskId} --repeat\` lets it go on`
  recordTaskCase(draft, { ...task, fault, action: 'hold', firstSignMs: nowMs, reason, evidence, closing }, nowMs)
}
