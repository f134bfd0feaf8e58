import { resolve as resolvePath } from 'node:path'
import type { ResolvedConfig } from '../model/config.ts'
import { ConfigError } from '../model/errors.ts'
import type { AgentSpec, BackoffSpec, PoolSpec, PulseSpec, RecoverySpec } from '../model/pool.ts'
import type { DependencySpec, ProbeSpec } from '../model/probe.ts'
import { redact } from '../model/redact.ts'
import { checkConfig } from './check.ts'
import { absoluteCommand, type CommandContext } from './command.ts'
import { defaultDeadlines, defaultProbes, defaultPulse, defaultRecovery, defaultRetry, defaults } from './defaults.ts'
import { resolveDependency, resolveProvider } from './dependency.ts'
import { resolveDetect } from './detect.ts'
import { type Environment, passwordIn, secretsAmong, substitute } from './environment.ts'
import { describeIssues } from './issue.ts'
import { resolveNotify } from './notify.ts'
import { configSchema, type RawBackoff, type RawConfig, type RawPool, type RawProbe } from './schema.ts'

/** `root` is the folder of the configuration file: relative paths start there. */
export interface ResolveContext extends CommandContext {
  /** Absolute. */
  readonly stateFolder: string
  readonly env: Environment
}

/**
 * Checks `raw` and completes it with defaults. Touches nothing.
 *
 * @throws ConfigError with one line for each problem, all at once.
 */
export function resolveConfig(raw: unknown, context: ResolveContext): ResolvedConfig {
  const { value, secrets, problems } = substitute(raw, context.env)
  const parsed = configSchema.safeParse(value, { reportInput: true })
  if (!parsed.success) throw refusal([...problems, ...describeIssues(parsed.error)], secrets)
  const config = complete(parsed.data, secrets, context)
  const all = [...problems, ...checkConfig(parsed.data, config, context.fileExists)]
  if (all.length > 0) throw refusal(all, config.secrets)
  return config
}

function refusal(problems: readonly string[], secrets: readonly string[]): ConfigError {
  return new ConfigError(problems.map((problem) => redact(problem, secrets)).join('\n'))
}

function complete(raw: RawConfig, fromEnvironment: readonly string[], context: ResolveContext): ResolvedConfig {
  const providers = Object.entries(raw.gateway?.providers ?? {})
  const dependencies: DependencySpec[] = [
    ...providers.map(([name, provider]) => resolveProvider(name, provider)),
    ...Object.entries(raw.dependencies ?? {}).map(([name, dependency]) => resolveDependency(name, dependency, context)),
  ]
  const pools = Object.entries(raw.pools).map(([name, pool]) => resolvePool(name, pool, context))
  const inline = inlineSecrets(raw, fromEnvironment)
  const environments = [...pools, ...dependencies.flatMap(({ check }) => ('environment' in check ? [check] : []))]
  const passed = environments.flatMap(({ environment }) =>
    secretsAmong(Object.fromEntries(environment.pass.map((name) => [name, context.env[name]])), 'passed'),
  )
  const token = context.env.PRUNELLA_TOKEN
  const literal = environments.flatMap(({ environment }) => secretsAmong(environment.set, 'literal'))
  return {
    root: context.root,
    stateFolder: context.stateFolder,
    store: { kind: 'sqlite', path: resolvePath(context.root, (raw.store ?? defaults.store).slice('sqlite:'.length)) },
    http: {
      host: raw.http?.host ?? defaults.host,
      port: raw.http?.port ?? defaults.port,
      names: raw.http?.names ?? [],
      ...(token === undefined ? {} : { token }),
    },
    dependencies,
    pools,
    notify: resolveNotify(raw.notify ?? []),
    shutdownMs: raw.shutdown ?? defaults.shutdownMs,
    secrets: [
      ...new Set([
        ...fromEnvironment,
        ...(token === undefined ? [] : [token]),
        ...inline.flatMap(({ values }) => values),
        ...passed,
        ...literal,
      ]),
    ],
    warnings: [
      ...inline.map(
        ({ path }) => `${path} holds a secret in plain text: write env('NAME') and keep it out of the file`,
      ),
      ...(providers.length > 0
        ? ['gateway.providers: this version checks that providers answer; it does not proxy model calls yet']
        : []),
    ],
  }
}

/** Secrets that stand in the file itself. Each is worth a warning, and goes onto the redaction list. */
function inlineSecrets(raw: RawConfig, fromEnvironment: readonly string[]) {
  const found: { readonly path: string; readonly values: readonly string[] }[] = []
  const look = (path: string, text: string | undefined, values: readonly string[]) => {
    if (text === undefined || fromEnvironment.some((secret) => text.includes(secret)) || values.length === 0) return
    found.push({ path, values })
  }
  for (const [name, { apiKey }] of Object.entries(raw.gateway?.providers ?? {})) {
    look(`gateway.providers.${name}.apiKey`, apiKey, apiKey === undefined ? [] : [apiKey])
  }
  for (const [name, { check }] of Object.entries(raw.dependencies ?? {})) {
    const { postgres = '', http = '' } = check
    look(`dependencies.${name}.check.postgres`, postgres, passwordIn(postgres))
    look(`dependencies.${name}.check.http`, http, passwordIn(http))
    const { headers, environment } = check.mcp ?? {}
    const texts = { headers: check.headers, 'mcp.headers': headers, 'mcp.environment.set': environment?.set }
    for (const [place, named] of Object.entries(texts)) {
      for (const [key, value] of Object.entries(named ?? {}))
        look(`dependencies.${name}.check.${place}.${key}`, value, secretsAmong({ [key]: value }, 'literal'))
    }
    look(`dependencies.${name}.check.mcp`, check.mcp?.url, passwordIn(check.mcp?.url ?? ''))
  }
  for (const [at, { secret, url = '' }] of (raw.notify ?? []).entries()) {
    look(`notify[${at}].secret`, secret, secret === undefined ? [] : [secret])
    look(`notify[${at}].url`, url, passwordIn(url))
  }
  for (const [name, { environment }] of Object.entries(raw.pools)) {
    for (const [variable, value] of Object.entries(environment?.set ?? {})) {
      look(`pools.${name}.environment.set.${variable}`, value, secretsAmong({ [variable]: value }, 'literal'))
    }
  }
  return found
}

function resolvePool(name: string, raw: RawPool, context: ResolveContext): PoolSpec {
  const min = raw.replicas?.min ?? Math.min(1, raw.replicas?.max ?? 1)
  const replicas = { min, max: raw.replicas?.max ?? Math.max(1, min) }
  const pulse = resolvePulse(raw.pulse)
  return {
    name,
    owner: raw.owner ?? null,
    agent: resolveAgent(raw.agent, context),
    concurrency: raw.concurrency ?? defaults.concurrency,
    replicas,
    dependsOn: [...new Set(raw.dependsOn ?? [])],
    health: {
      liveness: resolveProbe(raw.health?.liveness, defaultProbes.liveness),
      readiness: resolveProbe(raw.health?.readiness, defaultProbes.readiness),
      startup: resolveProbe(raw.health?.startup, defaultProbes.startup),
    },
    pulse,
    deadlines: {
      taskMs: raw.deadlines?.task ?? defaultDeadlines.taskMs,
      stepMs: raw.deadlines?.step ?? defaultDeadlines.stepMs,
      toolMs: raw.deadlines?.tool ?? defaultDeadlines.toolMs,
      idleMs: raw.deadlines?.idle ?? defaultDeadlines.idleMs,
    },
    detect: resolveDetect(raw.detect, raw.limits),
    recovery: resolveRecovery(raw.recovery, replicas.max),
    retry: {
      attempts: raw.retry?.attempts ?? defaultRetry.attempts,
      backoff: resolveBackoff(raw.retry?.backoff, defaultRetry.backoff),
      repeat: raw.retry?.repeat ?? defaultRetry.repeat,
    },
    leaseMs: raw.lease ?? Math.max(defaults.leaseMs, defaults.leaseOverHung * pulse.hungMs),
    memoryBytes: raw.limits?.memory ?? null,
    processLimit: raw.limits?.processes ?? defaults.processLimit,
    environment: { pass: raw.environment?.pass ?? [], set: raw.environment?.set ?? {} },
  }
}

function resolveAgent(raw: RawPool['agent'], context: ResolveContext): AgentSpec {
  if (raw.module !== undefined) return { kind: 'module', path: resolvePath(context.root, raw.module) }
  const command = absoluteCommand(raw.command ?? [], context)
  return { kind: 'command', command, protocol: raw.protocol ?? 'frames' }
}

/** What is left out follows what is given in the default's ratio of 1 : 3 : 5. */
function resolvePulse(raw: RawPool['pulse']): PulseSpec {
  const everyMs = raw?.every ?? defaultPulse.everyMs
  const suspectMs = raw?.suspect ?? (everyMs * defaultPulse.suspectMs) / defaultPulse.everyMs
  const hungMs = raw?.hung ?? Math.round((suspectMs * defaultPulse.hungMs) / defaultPulse.suspectMs)
  return { everyMs, suspectMs, hungMs }
}

/** A time-out that is left out fits into the period that was given. */
export function resolveProbe(raw: RawProbe | undefined, base: ProbeSpec): ProbeSpec {
  const toMs = (seconds: number | undefined, ms: number) => (seconds === undefined ? ms : Math.round(seconds * 1_000))
  const periodMs = toMs(raw?.periodSeconds, base.periodMs)
  return {
    initialDelayMs: toMs(raw?.initialDelaySeconds, base.initialDelayMs),
    periodMs,
    timeoutMs: toMs(raw?.timeoutSeconds, Math.min(base.timeoutMs, Math.ceil(periodMs / 2))),
    failureThreshold: raw?.failureThreshold ?? base.failureThreshold,
    successThreshold: raw?.successThreshold ?? base.successThreshold,
  }
}

function resolveRecovery(raw: RawPool['recovery'], maxReplicas: number): RecoverySpec {
  return {
    mode: raw?.mode ?? defaultRecovery.mode,
    nudge: raw?.nudge ?? defaultRecovery.nudge,
    alertAfterSoft: raw?.alertAfter?.softPerHour ?? defaultRecovery.alertAfterSoft,
    soft: raw?.soft ?? defaultRecovery.soft,
    hard: raw?.hard ?? defaultRecovery.hard,
    strikePeriodMs: raw?.strikePeriod ?? defaultRecovery.strikePeriodMs,
    probationMs: raw?.probation ?? defaultRecovery.probationMs,
    resetMs: raw?.reset ?? defaultRecovery.resetMs,
    graceMs: raw?.grace ?? defaultRecovery.graceMs,
    drainMs: raw?.drain ?? defaultRecovery.drainMs,
    backoff: resolveBackoff(raw?.backoff, defaultRecovery.backoff),
    intensity: raw?.intensity ?? defaultRecovery.intensity,
    intensityPeriodMs: raw?.intensityPeriod ?? defaultRecovery.intensityPeriodMs,
    // Half the pool works while the other half is mended; and each replica may be replaced once when quarantined.
    maxRecovering: raw?.maxRecovering ?? Math.max(1, Math.floor(maxReplicas / 2)),
    maxQuarantined: raw?.maxQuarantined ?? maxReplicas,
    poisonAfter: raw?.poisonAfter ?? defaultRecovery.poisonAfter,
  }
}

function resolveBackoff(raw: RawBackoff | undefined, base: BackoffSpec): BackoffSpec {
  const baseMs = raw?.base ?? base.baseMs
  return {
    baseMs,
    factor: raw?.factor ?? base.factor,
    maxMs: raw?.max ?? Math.max(base.maxMs, baseMs),
    jitter: raw?.jitter ?? base.jitter,
  }
}
