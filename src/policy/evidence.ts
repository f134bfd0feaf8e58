/** Which dependency a failure's evidence points to: its words, and what the attempt was doing. */
import type { ErrorInfo } from '../model/errors.ts'
import type { AttemptObservation, ModelUsage } from '../model/observation.ts'
import type { AttemptRow } from '../model/rows.ts'

/** The evidence looks like a dependency, and does not say which. No dependency may have this name. */
export const anyDependency = '*'

/**
 * Codes and words of failed connections: of Node (libuv, undici), Postgres
 * (classes 08, 53 and 57P), and of the clients of the model providers.
 */
const connectionCodes =
  /^(E(CONN(REFUSED|RESET|ABORTED)|TIMEDOUT|HOSTUNREACH|NETUNREACH|NETDOWN|PIPE|AI_AGAIN)|ENOTFOUND|UND_ERR_\w+|08\d\w\w|53300|57P0[1-5])$/
const connectionWords =
  /\b(E(CONN(REFUSED|RESET|ABORTED)|TIMEDOUT|HOSTUNREACH|AI_AGAIN)|ENOTFOUND|fetch failed|socket hang up|connection (error|refused|reset|terminated|timeout)|(APIConnection|InternalServer|Overloaded|RateLimit)\w*Error|terminating connection|(status|HTTP) ?(code )?(429|5(00|02|03|04|29)))\b/i

export function looksLikeConnection(error: ErrorInfo | null): boolean {
  if (error === null) return false
  if (error.code !== undefined && connectionCodes.test(error.code)) return true
  return connectionWords.test(error.name) || connectionWords.test(error.message)
}

/**
 * The dependency that a failure of the attempt names: the error itself, the
 * innermost open call, the call that failed last; `anyDependency` when its words
 * are those of a lost connection; null when nothing points anywhere.
 */
export function dependencyOf(attempt: AttemptRow | null, error: ErrorInfo | null): string | null {
  if (error?.dependency !== undefined) return error.dependency
  const open = attempt?.calls.findLast(({ dependency }) => dependency !== null)
  if (open !== undefined) return open.dependency
  if (attempt !== null && attempt.failedOn !== null) return attempt.failedOn
  return looksLikeConnection(error) ? anyDependency : null
}

/** The provider did its part: what it refuses to read is the agent's doing. */
export function isServed({ failure }: ModelUsage): boolean {
  return failure === null || failure === 'context_overflow' || failure === 'bad_request'
}

/** What an attempt's news says about a dependency: which one, and whether it worked. Null: nothing. */
export function sightingOf(
  observation: AttemptObservation,
  attempt: AttemptRow,
): { readonly dependency: string; readonly ok: boolean } | null {
  switch (observation.kind) {
    case 'call_ended': {
      const { call, ok, error } = observation
      const open = attempt.calls.find((one) => one.call === call)
      if (open?.kind === 'model') return null // `model_called` says how it went.
      const named = error?.dependency ?? open?.dependency ?? null
      if (named !== null) return { dependency: named, ok }
      return looksLikeConnection(error) ? { dependency: anyDependency, ok: false } : null
    }
    case 'model_called': {
      const { provider } = observation.usage
      return provider === null ? null : { dependency: provider, ok: isServed(observation.usage) }
    }
    case 'failed': {
      const dependency = dependencyOf(attempt, observation.error)
      // A call that failed was counted when it ended.
      return dependency === null || dependency === attempt.failedOn ? null : { dependency, ok: false }
    }
    default:
      return null
  }
}
