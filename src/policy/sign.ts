import type { ErrorInfo } from '../model/errors.ts'
import type { ActionKind, Fault, FaultKind, Rung } from '../model/fault.ts'
import type { Attribution } from '../model/incident.ts'
import type { AttemptRow } from '../model/rows.ts'

/** What a detector saw, before anybody is blamed. */
export interface Sign {
  readonly kind: FaultKind
  readonly evidence: readonly string[]
  readonly firstSignMs: number
  /** The attempt that showed it, or null when it was the replica as a whole: then whatever it was running is counted. */
  readonly attempt: AttemptRow | null
  readonly error: ErrorInfo | null
  /** The process is gone already. */
  readonly gone: boolean
  /** A soft restart was tried on this very attempt and did not settle. */
  readonly needsHard: boolean
  /** What the next attempt must not do again, in words. */
  readonly doNot?: readonly string[]
  /** The machine refused what was asked of it, in its own words. */
  readonly nodeRefused?: string
}

/** What was decided about a sign. */
export interface Judgement {
  readonly sign: Sign
  readonly fault: Fault
  readonly verdict: Attribution
  /** Neither strikes nor attempts: the agent is not to blame, or nobody can tell while its pool is held. */
  readonly excused: boolean
  readonly rung: Rung
  /** 0 where none was charged. */
  readonly strike: number
  readonly action: ActionKind
}
