import type { Cost } from '../model/spent.ts'
import type { Caller, RunningAttempt } from './model-door.ts'

export interface BudgetRefusal {
  /** In words. */
  readonly reason: string
  /** Only because of what is reserved: it may be otherwise when those calls have ended. */
  readonly mayPass: boolean
}

/** Asked before each model call that comes through the gateway. */
export interface ModelBudget {
  /**
   * Why the call must not start, or null. Costs that were told a moment ago count.
   *
   * @param reserved  What calls of the same replica that have not ended may cost.
   */
  refusal(caller: Caller, attempt: RunningAttempt | null, reserved: Cost): BudgetRefusal | null
  /** Whether anything is limited in this pool: else nobody needs to be asked. */
  isLimited(pool: string): boolean
}
