import type { CheckResult, DependencySpec } from '../model/probe.ts'

/** Checks a shared dependency, once for the whole node. Never throws: a failure is a result. */
export interface Prober {
  check(dependency: DependencySpec, signal: AbortSignal): Promise<CheckResult>
}
