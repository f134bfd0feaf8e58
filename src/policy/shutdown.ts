import type { TaskId } from '../model/ids.ts'
import { askToReset, revokeAttempt } from './attempts.ts'
import { type Decision, Draft, type Outcome, type View } from './outcome.ts'
import { noticePhase, terminate } from './recover.ts'
import { pastDeadline } from './retry.ts'

const handedBack = {
  outcome: 'returned',
  counted: false,
  lost: false,
  error: null,
  evidence: ['the node is shutting down'],
  finish: null,
} as const

/** Drains one replica of a node that ends: running tasks may finish until `deadlineMs`, waiting ones go back at once. */
export function shutDown(view: View, deadlineMs: number): Outcome {
  const { replica, nowMs } = view
  const draft = new Draft()
  switch (replica.phase.kind) {
    case 'waiting':
    case 'quarantined':
    case 'stopping':
      return draft.finish()
    case 'starting':
      terminate(draft, view, view.spec.recovery.graceMs, 'restart')
      return draft.finish()
    default: {
      for (const attempt of view.attempts) {
        if (attempt.phase.kind !== 'sent') continue
        revokeAttempt(draft, attempt, handedBack, deadlineMs)
        askToReset(draft, view, attempt, 'the node is shutting down')
      }
      const after = replica.phase.kind === 'draining' ? replica.phase.after : 'restart'
      const row = {
        ...draft.replica(replica),
        phase: { kind: 'draining', untilMs: Math.max(nowMs, deadlineMs), after },
      } as const
      draft.setReplica(row)
      noticePhase(draft, row, nowMs)
      return draft.finish()
    }
  }
}

/** A waiting task whose submitter's deadline has passed. */
export function overdue(taskId: TaskId, nowMs: number): Decision {
  return {
    changes: [{ kind: 'finish_waiting', taskId, atMs: nowMs, next: pastDeadline }],
    effects: [],
    refused: [],
    notices: [],
  }
}
