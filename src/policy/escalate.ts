import type { Strike } from '../model/change.ts'
import type { Rung } from '../model/fault.ts'
import type { RecoverySpec } from '../model/pool.ts'

/**
 * The ladder as slots: `soft` soft restarts, then `hard` hard ones, then
 * quarantine. A strike takes the next free slot at or above the lowest that its
 * fault allows, so no rung is tried more often than the ladder says (R3).
 */
export function slotOf(strikes: readonly Strike[], minSlot: number): number {
  let next = 0
  for (const strike of strikes) next = Math.max(next, strike.minSlot) + 1
  return Math.max(next, minSlot)
}

export function rungOf(slot: number, recovery: RecoverySpec): Rung {
  if (slot < recovery.soft) return 'soft_restart'
  return slot < recovery.soft + recovery.hard ? 'hard_restart' : 'quarantine'
}

/** Strikes that still count: they age out after the strike period, and by nothing else (R4). */
export function recentStrikes(strikes: readonly Strike[], nowMs: number, recovery: RecoverySpec): readonly Strike[] {
  return strikes.filter((strike) => nowMs - strike.atMs < recovery.strikePeriodMs)
}

export interface Escalation {
  readonly strikes: readonly Strike[]
  readonly rung: Rung
  /** Number of this strike, from 1. */
  readonly strike: number
}

/** Charges one strike and says which rung answers it. */
export function escalate(
  before: readonly Strike[],
  fault: {
    readonly atMs: number
    readonly incidentId: string
    readonly taskId: string | null
    readonly dependency: string | null
    readonly needsHard: boolean
  },
  recovery: RecoverySpec,
): Escalation {
  const recent = recentStrikes(before, fault.atMs, recovery)
  const minSlot = fault.needsHard ? recovery.soft : 0
  const slot = slotOf(recent, minSlot)
  const strike = {
    atMs: fault.atMs,
    incidentId: fault.incidentId,
    minSlot,
    taskId: fault.taskId,
    dependency: fault.dependency,
  }
  return { strikes: [...recent, strike], rung: rungOf(slot, recovery), strike: slot + 1 }
}
