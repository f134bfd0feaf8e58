import { isValidName } from './ids.ts'

/** Stable codes. Callers match `code`, never the text. */
export type ErrorCode =
  | 'PRUNELLA_STALE_FENCE'
  | 'PRUNELLA_TOO_LARGE'
  | 'PRUNELLA_INVALID'
  | 'PRUNELLA_NOT_FOUND'
  | 'PRUNELLA_CONFLICT'
  | 'PRUNELLA_QUEUE_FULL'
  | 'PRUNELLA_CONFIG'
  | 'PRUNELLA_STORE_LOCKED'
  | 'PRUNELLA_STORE_DAMAGED'
  | 'PRUNELLA_STORE_FAILED'
  | 'PRUNELLA_UNAUTHORIZED'
  | 'PRUNELLA_FORBIDDEN'
  | 'PRUNELLA_TOO_MANY'
  | 'PRUNELLA_PORT_TAKEN'
  | 'PRUNELLA_SHUTTING_DOWN'
  | 'PRUNELLA_LEASE_EXPIRED'
  | 'PRUNELLA_STEP_TIMEOUT'
  | 'PRUNELLA_ABORTED'
  | 'PRUNELLA_DEPENDENCY'
  | 'PRUNELLA_BUDGET_EXCEEDED'

/** An error the caller did not plan. The message says what happened, with which values, and what to do. */
export class PrunellaError extends Error {
  override readonly name: string = 'PrunellaError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A write arrived under a fence that was raised since. Its result must be dropped: somebody else has the task. */
export class StaleFenceError extends PrunellaError {
  override readonly name = 'StaleFenceError'

  constructor(at: { readonly taskId: string; readonly fence: number }) {
    super('PRUNELLA_STALE_FENCE', `Task ${at.taskId} moved on: fence ${at.fence} is no longer valid. Drop the result.`)
  }
}

/** The task has used up its budget: no model call, step or tool begins any more. Let it out of `run`. */
export class BudgetExceededError extends PrunellaError {
  override readonly name = 'BudgetExceededError'

  constructor(taskId: string) {
    super(
      'PRUNELLA_BUDGET_EXCEEDED',
      `Task ${taskId} has used up its budget. Stop; its steps are kept, and a person decides whether it goes on.`,
    )
  }
}

/** The configuration cannot be used: names the path, the rule and the value. Exit code 78. */
export class ConfigError extends PrunellaError {
  override readonly name = 'ConfigError'

  constructor(message: string, options?: ErrorOptions) {
    super('PRUNELLA_CONFIG', message, options)
  }
}

/**
 * An agent's word that something it depends on failed, not itself: what the
 * failure costs is charged to the dependency of that name, as configured.
 *
 * @throws PrunellaError PRUNELLA_INVALID when the name is none.
 */
export class DependencyError extends PrunellaError {
  override readonly name = 'DependencyError'
  readonly dependency: string

  constructor(dependency: string, message: string, options?: ErrorOptions) {
    super('PRUNELLA_DEPENDENCY', message, options)
    if (!isValidName(dependency)) {
      const got = JSON.stringify(dependency)?.slice(0, 80)
      throw new PrunellaError('PRUNELLA_INVALID', `A dependency's name is 1 to 128 of A-Z a-z 0-9 . _ -, got ${got}.`)
    }
    this.dependency = dependency
  }
}

/** An error as data: what crosses a channel, enters the store and stands in an incident. */
export interface ErrorInfo {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly stack?: string
  /** The configured dependency that failed, where the agent named one. A valid name, and no more than a claim. */
  readonly dependency?: string
}
