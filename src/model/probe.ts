import type { ChildEnvironment } from './environment.ts'

/** Kubernetes' own fields, in milliseconds. */
export interface ProbeSpec {
  readonly initialDelayMs: number
  readonly periodMs: number
  readonly timeoutMs: number
  readonly failureThreshold: number
  readonly successThreshold: number
}

export type ProbeKind = 'liveness' | 'readiness' | 'startup'

/** `ok`, or `failed: …` with the reason. */
export type CheckResult = { readonly ok: true } | { readonly ok: false; readonly reason: string }

export type HealthStatus = 'healthy' | 'degraded' | 'unhealthy'

/** What a health endpoint answers. */
export interface HealthReport {
  readonly status: HealthStatus
  readonly latencyMs: number
  readonly checks: Readonly<Record<string, string>>
}

/** What a check looks at. Run once per node for everybody who depends on it. */
export type DependencyCheck =
  | { readonly kind: 'http'; readonly url: string; readonly headers: Readonly<Record<string, string>> }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'postgres'; readonly url: string }
  | {
      readonly kind: 'mcp'
      readonly url: string
      readonly headers: Readonly<Record<string, string>>
      readonly tool: string | null
    }
  /** Started anew for each check, spoken to over its standard input and output, and ended. */
  | {
      readonly kind: 'mcp_command'
      readonly command: readonly string[]
      readonly environment: ChildEnvironment
      readonly tool: string | null
    }

/** What replicas share. A model provider that fails makes its pools unhealthy, any other degrades them unless critical. */
export interface DependencySpec {
  readonly name: string
  readonly role: 'model_provider' | 'database' | 'tool' | 'other'
  readonly check: DependencyCheck
  /** A failed critical dependency gates dispatch. Model providers are always critical. */
  readonly critical: boolean
  readonly probe: ProbeSpec
  readonly breaker: BreakerSpec
}

/** When a dependency counts as down, and how it is let back in. Times in ms. */
export interface BreakerSpec {
  /** Failed calls inside `windowMs` that open it, when more than half of all calls there failed; two are enough when none succeeded. */
  readonly failures: number
  /** The failures must come from so many replicas: one alone accuses itself (R1). */
  readonly replicas: number
  readonly windowMs: number
  /** How often an open one is asked; a flapping one more and more rarely, up to `probeMaxMs`. */
  readonly probeMs: number
  readonly probeMaxMs: number
  /** How long it must stay closed before its incident closes. */
  readonly stableMs: number
  /** Openings inside this time are one incident: a second one means that it flaps. */
  readonly flapMs: number
  /** From the first task to full dispatch once it is back. */
  readonly rampMs: number
}
