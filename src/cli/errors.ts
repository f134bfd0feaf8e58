/** Exit codes, as sysexits.h has them where it has one. */
export const exits = { done: 0, failed: 1, usage: 2, configuration: 78 } as const

/** The command line cannot mean this. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The node said no, or did not answer. Its message is written for a person. Exit code 1. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** The node's own code, e.g. PRUNELLA_NOT_FOUND; null when no node answered. */
  readonly code: string | null

  constructor(message: string, code: string | null = null, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
