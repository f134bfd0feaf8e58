import type { FaultKind, Rung } from '../model/fault.ts'
import type { Severity } from '../model/incident.ts'
import type { AttemptOutcome } from '../model/task.ts'

/** What each kind of fault means for the ladder and for the attempts in hand. */
export interface FaultRow {
  /** A soft restart cannot mend it: the process is gone, or does not listen. */
  readonly needsHard: boolean
  /** A process that does not listen is not asked to end: SIGKILL at once. */
  readonly graceless: boolean
  /** It works still, only badly: what it has in hand may finish before it goes, within `recovery.drain` or however long that takes. */
  readonly drainsFirst: 'no' | 'bounded' | 'whole'
  /** How the attempts it ends are written. */
  readonly outcome: AttemptOutcome
}

export const faultTable: Readonly<Record<FaultKind, FaultRow>> = {
  crashed: { needsHard: true, graceless: true, drainsFirst: 'no', outcome: 'crashed' },
  exited: { needsHard: true, graceless: true, drainsFirst: 'no', outcome: 'crashed' },
  out_of_memory: { needsHard: true, graceless: true, drainsFirst: 'no', outcome: 'crashed' },
  start_failed: { needsHard: true, graceless: false, drainsFirst: 'no', outcome: 'returned' },
  unresponsive: { needsHard: true, graceless: true, drainsFirst: 'no', outcome: 'unresponsive' },
  protocol_violation: { needsHard: true, graceless: true, drainsFirst: 'no', outcome: 'protocol_violation' },
  stalled: { needsHard: false, graceless: false, drainsFirst: 'no', outcome: 'stalled' },
  tool_loop: { needsHard: false, graceless: false, drainsFirst: 'no', outcome: 'tool_loop' },
  context_overflow: { needsHard: false, graceless: false, drainsFirst: 'no', outcome: 'context_overflow' },
  budget_exceeded: { needsHard: false, graceless: false, drainsFirst: 'no', outcome: 'budget_exceeded' },
  leaking: { needsHard: true, graceless: false, drainsFirst: 'whole', outcome: 'returned' },
  fd_leak: { needsHard: true, graceless: false, drainsFirst: 'whole', outcome: 'returned' },
  task_failed: { needsHard: false, graceless: false, drainsFirst: 'no', outcome: 'failed' },
  llm_unavailable: { needsHard: true, graceless: false, drainsFirst: 'bounded', outcome: 'returned' },
  database_unavailable: { needsHard: true, graceless: false, drainsFirst: 'bounded', outcome: 'returned' },
  tool_unavailable: { needsHard: true, graceless: false, drainsFirst: 'bounded', outcome: 'returned' },
  dependency_unavailable: { needsHard: true, graceless: false, drainsFirst: 'bounded', outcome: 'returned' },
  poison: { needsHard: false, graceless: false, drainsFirst: 'no', outcome: 'crashed' },
  defective_agent: { needsHard: false, graceless: false, drainsFirst: 'no', outcome: 'returned' },
  supervisor_paused: { needsHard: false, graceless: false, drainsFirst: 'no', outcome: 'returned' },
  operator: { needsHard: false, graceless: false, drainsFirst: 'no', outcome: 'returned' },
}

/** How loudly people are told of an action (R9). */
export function severityOf(rung: Rung): Severity {
  if (rung === 'soft_restart') return 'info'
  return rung === 'hard_restart' ? 'warning' : 'critical'
}
