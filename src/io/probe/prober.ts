import type { CheckResult, DependencyCheck } from '../../model/probe.ts'
import type { Redact } from '../../model/redact.ts'
import type { Launcher } from '../../port/launcher.ts'
import type { Prober } from '../../port/prober.ts'
import { checkHttp } from './http.ts'
import { createCommandCheck } from './mcp-command.ts'
import { checkMcp } from './mcp-http.ts'
import { checkPostgres } from './postgres.ts'
import { checkTcp } from './tcp.ts'

const reasonLength = 300

/** Checks what replicas share, from this node. Each check ends within its own timeout, whatever the other side does. */
export function createProber(redact: Redact, launcher: Launcher): Prober {
  const checkCommand = createCommandCheck(launcher)
  function run(name: string, check: DependencyCheck, bound: AbortSignal): Promise<CheckResult> {
    switch (check.kind) {
      case 'http':
        return checkHttp(check, bound)
      case 'tcp':
        return checkTcp(check, bound)
      case 'mcp':
        return checkMcp(check, bound)
      case 'mcp_command':
        return checkCommand(name, check, bound)
      case 'postgres':
        return checkPostgres(check, bound)
    }
  }
  return {
    async check({ name, check, probe }, signal) {
      const bound = AbortSignal.any([signal, AbortSignal.timeout(probe.timeoutMs)])
      const aborted = new Promise<never>((_, reject) => {
        bound.addEventListener('abort', () => reject(bound.reason), { once: true })
      })
      try {
        bound.throwIfAborted()
        // The race, because not every library gives up when told to.
        return clean(await Promise.race([run(name, check, bound), aborted]), redact)
      } catch (error) {
        return clean(
          { ok: false, reason: signal.aborted ? 'not finished: aborted' : reasonOf(error, probe.timeoutMs) },
          redact,
        )
      }
    },
  }
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMs} ms`
  // `fetch failed` says nothing; its cause does.
  const cause = error.cause instanceof Error ? error.cause : error
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : null
  return code === null || cause.message.includes(code) ? cause.message : `${code}: ${cause.message}`
}

function clean(result: CheckResult, redact: Redact): CheckResult {
  return result.ok ? result : { ok: false, reason: redact(result.reason).slice(0, reasonLength) || 'failed' }
}
