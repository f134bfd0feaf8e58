import type { FaultKind, Rung } from '../model/fault.ts'
import type { Severity } from '../model/incident.ts'
import type { AttemptOutcome } from '../model/task.ts'

/** What each kind of fault means for the ladder and for the attempts in hand. */
export interface FaultRow {
  /** A soft restart cannot mend it: the process is gone, or does not listen. */
  readonly needsHard: boolean
  /** A process that does not listen is not asked to end: SIGKILL at once. */
  readonly graceless: boolean
  /** How the attempts it ends are written. */
  readonly outcome: AttemptOutcome
}

export const faultTable: Readonly<Record<FaultKind, FaultRow>> = {
  crashed: { needsHard: true, graceless: true, outcome: 'crashed' },
  exited: { needsHard: true, graceless: true, outcome: 'crashed' },
  out_of_memory: { needsHard: true, graceless: true, outcome: 'crashed' },
  start_failed: { needsHard: true, graceless: false, outcome: 'returned' },
  unresponsive: { needsHard: true, graceless: true, outcome: 'unresponsive' },
  protocol_violation: { needsHard: true, graceless: true, outcome: 'protocol_violation' },
  stalled: { needsHard: false, graceless: false, outcome: 'stalled' },
  poison: { needsHard: false, graceless: false, outcome: 'crashed' },
  defective_agent: { needsHard: false, graceless: false, outcome: 'returned' },
  supervisor_paused: { needsHard: false, graceless: false, outcome: 'returned' },
  operator: { needsHard: false, graceless: false, outcome: 'returned' },
}

/** How loudly people are told of an action (R9). */
export function severityOf(rung: Rung): Severity {
  if (rung === 'soft_restart') return 'info'
  return rung === 'hard_restart' ? 'warning' : 'critical'
}
