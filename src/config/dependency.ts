import type { BreakerSpec, DependencyCheck, DependencySpec } from '../model/probe.ts'
import { absoluteCommand, type CommandContext } from './command.ts'
import {
  defaultBaseUrl,
  defaultBreaker,
  defaultCommandTimeoutMs,
  defaultDependencyProbe,
  defaultProbes,
  ownProbeMs,
} from './defaults.ts'
import type { RawDependency, RawProvider } from './schema.ts'

/** The keys of `check`, of which exactly one is given. */
export const checkKinds = ['http', 'tcp', 'postgres', 'mcp'] as const

/** A model provider is checked by its list of models: it needs the key and costs nothing. */
export function resolveProvider(name: string, raw: RawProvider): DependencySpec {
  const base = (raw.baseUrl ?? defaultBaseUrl[raw.api]).replace(/\/+$/, '')
  const headers = raw.api === 'anthropic' ? { 'anthropic-version': '2023-06-01' } : {}
  const key = raw.apiKey === undefined ? {} : keyHeader(raw.api, raw.apiKey)
  return {
    name,
    role: 'model_provider',
    check: { kind: 'http', url: `${base}/models`, headers: { ...headers, ...key } },
    critical: true,
    probe: defaultProbes.readiness,
    breaker: defaultBreaker,
  }
}

function keyHeader(api: RawProvider['api'], apiKey: string): Readonly<Record<string, string>> {
  return api === 'anthropic' ? { 'x-api-key': apiKey } : { authorization: `Bearer ${apiKey}` }
}

export function resolveDependency(name: string, raw: RawDependency, context: CommandContext): DependencySpec {
  const { check, role } = resolveCheck(raw.check, context)
  const periodMs = raw.period ?? defaultDependencyProbe.periodMs
  const usualMs = check.kind === 'mcp_command' ? defaultCommandTimeoutMs : defaultDependencyProbe.timeoutMs
  return {
    name,
    role: raw.role ?? role,
    check,
    critical: raw.critical ?? false,
    probe: {
      initialDelayMs: 0,
      periodMs,
      timeoutMs: raw.timeout ?? Math.min(usualMs, Math.ceil(periodMs / 2)),
      failureThreshold: raw.failureThreshold ?? defaultDependencyProbe.failureThreshold,
      successThreshold: raw.successThreshold ?? defaultDependencyProbe.successThreshold,
    },
    breaker: resolveBreaker(raw.breaker, raw.role ?? role),
  }
}

function resolveBreaker(raw: RawDependency['breaker'], role: DependencySpec['role']): BreakerSpec {
  const probeMs = raw?.probe ?? (role === 'model_provider' ? defaultBreaker.probeMs : ownProbeMs)
  return {
    failures: raw?.failures ?? defaultBreaker.failures,
    replicas: raw?.replicas ?? defaultBreaker.replicas,
    windowMs: raw?.window ?? defaultBreaker.windowMs,
    probeMs,
    probeMaxMs: Math.max(raw?.probeMax ?? defaultBreaker.probeMaxMs, probeMs),
    stableMs: raw?.stable ?? defaultBreaker.stableMs,
    flapMs: raw?.flap ?? defaultBreaker.flapMs,
    rampMs: raw?.ramp ?? defaultBreaker.rampMs,
  }
}

function resolveMcp(
  { url, headers, command, environment }: NonNullable<RawDependency['check']['mcp']>,
  tool: string | null,
  context: CommandContext,
): DependencyCheck {
  if (command === undefined) return { kind: 'mcp', url: url ?? '', headers: headers ?? {}, tool }
  return {
    kind: 'mcp_command',
    command: absoluteCommand(command, context),
    environment: { pass: environment?.pass ?? [], set: environment?.set ?? {} },
    tool,
  }
}

function resolveCheck(
  raw: RawDependency['check'],
  context: CommandContext,
): {
  readonly check: DependencyCheck
  readonly role: 'database' | 'tool' | 'other'
} {
  if (raw.postgres !== undefined) return { check: { kind: 'postgres', url: raw.postgres }, role: 'database' }
  if (raw.mcp !== undefined) return { check: resolveMcp(raw.mcp, raw.tool ?? null, context), role: 'tool' }
  if (raw.tcp !== undefined) {
    const colon = raw.tcp.lastIndexOf(':')
    const host = raw.tcp.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
    return { check: { kind: 'tcp', host, port: Number(raw.tcp.slice(colon + 1)) }, role: 'other' }
  }
  return { check: { kind: 'http', url: raw.http ?? '', headers: raw.headers ?? {} }, role: 'other' }
}
