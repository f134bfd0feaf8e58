import { isValidName } from '../model/ids.ts'

/** Errors that came out of a call with a dependency: they are handed on as they are, so the name stands beside them. */
const blamed = new WeakMap<object, string>()
/** Causes looked at: a chain may be a ring. */
const causesMax = 16

/** Remembers that `error` was thrown inside a call that uses `dependency`. The innermost call's word stands. */
export function blame(error: unknown, dependency: string | undefined): void {
  if (dependency === undefined || typeof error !== 'object' || error === null || isOurs(error)) return
  if (dependencyOf(error) === null) blamed.set(error, dependency)
}

/** The dependency behind an error: of its own (`DependencyError`), of the call it left, or of its nearest cause. */
export function dependencyOf(error: unknown): string | null {
  let one = error
  for (let seen = 0; seen < causesMax && typeof one === 'object' && one !== null; seen += 1) {
    const { code, dependency, cause } = one as { code?: unknown; dependency?: unknown; cause?: unknown }
    // Not `instanceof`: an agent may have found another copy of this package than its host.
    if (code === 'PRUNELLA_DEPENDENCY' && typeof dependency === 'string' && isValidName(dependency)) return dependency
    const told = blamed.get(one)
    if (told !== undefined) return told
    one = cause
  }
  return null
}

/** A refusal of ours (misuse, a stale fence, an expired lease) is no failure of what the call talks to. */
function isOurs(error: object): boolean {
  return 'code' in error && typeof error.code === 'string' && /^PRUNELLA_(?!DEPENDENCY$)/.test(error.code)
}
