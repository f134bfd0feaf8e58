import { limits } from '../model/limits.ts'
import type { CheckResult } from '../model/probe.ts'
import type { AgentDefinition } from './definition.ts'
import { toErrorInfo } from './payload.ts'

type CheckFn = NonNullable<AgentDefinition['checks']>[string]

/** The agent's own readiness checks. One that hangs is not started again: it would pile up. */
export class Checks {
  readonly #checks: ReadonlyMap<string, CheckFn>
  readonly #open = new Set<string>()

  constructor(checks: Readonly<Record<string, CheckFn>>) {
    this.#checks = new Map(Object.entries(checks))
  }

  /** All at once. Never rejects: a failure is a result. */
  async run(timeoutMs: number): Promise<Readonly<Record<string, CheckResult>>> {
    const entries = [...this.#checks].map(
      async ([name, check]) => [name, await this.#runOne(name, check, timeoutMs)] as const,
    )
    return Object.fromEntries(await Promise.all(entries))
  }

  async #runOne(name: string, check: CheckFn, timeoutMs: number): Promise<CheckResult> {
    if (this.#open.has(name)) return failed('the check before this one has not ended')
    const signal = AbortSignal.timeout(timeoutMs)
    this.#open.add(name)
    const result = (async () => check({ signal }))()
      .then(
        (value) => (value === false ? failed('the check gave false') : ({ ok: true } as const)),
        (error: unknown) => failed(toErrorInfo(error).message),
      )
      .finally(() => this.#open.delete(name))
    const late = new Promise<CheckResult>((resolve) => {
      signal.addEventListener('abort', () => resolve(failed(`no answer within ${timeoutMs} ms`)), { once: true })
    })
    return Promise.race([result, late])
  }
}

function failed(reason: string): CheckResult {
  return { ok: false, reason: reason.slice(0, limits.noteLength) }
}
