import type { ResolvedConfig } from '../model/config.ts'
import type { BackoffSpec, PoolSpec } from '../model/pool.ts'
import type { DependencyCheck, ProbeSpec } from '../model/probe.ts'
import { showDuration } from '../model/units.ts'
import { countedLimits } from './budget.ts'
import { checkKinds } from './dependency.ts'
import { nearest, show, showPath } from './issue.ts'
import { checkNotify } from './notify.ts'
import type { RawConfig, RawDependency, RawPool } from './schema.ts'

/** Fewer can be guessed. */
const shortestToken = 16

/** What must hold between values: one line for each contradiction. */
export function checkConfig(
  raw: RawConfig,
  config: ResolvedConfig,
  fileExists: (path: string) => boolean,
): readonly string[] {
  const known = config.dependencies.map(({ name }) => name)
  const { token } = config.http
  return [
    ...when(
      token !== undefined && token.length < shortestToken,
      `PRUNELLA_TOKEN must be at least ${shortestToken} characters long, got ${token?.length}`,
    ),
    ...checkDependencies(raw, config, fileExists),
    ...checkNotify(raw.notify ?? []),
    ...config.pools.flatMap((pool) => {
      const path = showPath(['pools', pool.name])
      return [
        ...checkAgent(path, raw.pools[pool.name]?.agent ?? {}, pool, fileExists),
        ...checkDependsOn(path, pool, known),
        ...checkProbes(path, pool),
        ...checkTimes(path, pool),
        ...checkRecovery(path, pool),
        ...checkBudgets(path, raw.pools[pool.name]?.limits, pool),
      ]
    }),
  ]
}

function checkDependencies(
  raw: RawConfig,
  config: ResolvedConfig,
  fileExists: (path: string) => boolean,
): readonly string[] {
  const providers = raw.gateway?.providers ?? {}
  return Object.entries(raw.dependencies ?? {}).flatMap(([name, { check }]) => {
    const path = showPath(['dependencies', name])
    const kinds = checkKinds.filter((kind) => check[kind] !== undefined)
    const spec = config.dependencies.find((dependency) => dependency.name === name)
    return [
      ...when(
        Object.hasOwn(providers, name),
        `${path} has the name of a provider in gateway.providers; give one of them another name`,
      ),
      ...when(
        kinds.length !== 1,
        `${path}.check must have exactly one of ${checkKinds.join(', ')}, got ${show(kinds)}`,
      ),
      ...when(
        check.headers !== undefined && check.http === undefined,
        `${path}.check.headers belongs to an http check, which is missing`,
      ),
      ...when(
        check.tool !== undefined && check.mcp === undefined,
        `${path}.check.tool belongs to an mcp check, which is missing`,
      ),
      ...(check.mcp === undefined ? [] : checkMcp(`${path}.check.mcp`, check.mcp, spec?.check, fileExists)),
      ...(spec === undefined ? [] : below(`${path}.timeout`, spec.probe.timeoutMs, 'its period', spec.probe.periodMs)),
    ]
  })
}

function checkAgent(
  path: string,
  raw: Partial<RawPool['agent']>,
  pool: PoolSpec,
  fileExists: (path: string) => boolean,
): readonly string[] {
  if ((raw.module === undefined) === (raw.command === undefined)) {
    return [`${path}.agent must be the path of a module or { command: [...] }, got ${show(raw)}`]
  }
  if (pool.agent.kind === 'module') {
    return [
      ...when(raw.protocol !== undefined, `${path}.agent.protocol belongs to a command, got ${show(raw.protocol)}`),
      ...when(
        !fileExists(pool.agent.path),
        `${path}.agent must be an existing file, got ${show(raw.module)} (no file at ${pool.agent.path})`,
      ),
    ]
  }
  return checkCommand(`${path}.agent.command`, raw.command ?? [], pool.agent.command, fileExists)
}

function checkCommand(
  path: string,
  raw: readonly string[],
  command: readonly string[],
  fileExists: (path: string) => boolean,
): readonly string[] {
  return command.flatMap((part, index) => {
    const written = raw[index] ?? ''
    // What was made absolute is a file of the project; anything else the system finds on its path, or does not.
    const missing = (part !== written || (index === 0 && part.startsWith('/'))) && !fileExists(part)
    return when(missing, `${path}[${index}] must be an existing file, got ${show(written)} (no file at ${part})`)
  })
}

/** An address with what goes along with it, or a command with its own. */
function checkMcp(
  path: string,
  raw: NonNullable<RawDependency['check']['mcp']>,
  check: DependencyCheck | undefined,
  fileExists: (path: string) => boolean,
): readonly string[] {
  const { url, headers, command, environment } = raw
  return [
    ...when(
      (url === undefined) === (command === undefined),
      `${path} must be an address or { command: [...] }, got ${show(raw)}`,
    ),
    ...when(headers !== undefined && url === undefined, `${path}.headers belongs to an address, which is missing`),
    ...when(
      environment !== undefined && command === undefined,
      `${path}.environment belongs to a command, which is missing`,
    ),
    ...(check?.kind === 'mcp_command' ? checkCommand(`${path}.command`, command ?? [], check.command, fileExists) : []),
  ]
}

function checkDependsOn(path: string, pool: PoolSpec, known: readonly string[]): readonly string[] {
  return pool.dependsOn.flatMap((name, index) => {
    if (known.includes(name)) return []
    const near = nearest(name, known)
    const hint = near === null ? `known: ${known.join(', ') || 'none'}` : `did you mean "${near}"?`
    return [`${path}.dependsOn[${index}] must name a dependency or a provider, got ${show(name)}; ${hint}`]
  })
}

function checkProbes(path: string, pool: PoolSpec): readonly string[] {
  return (['liveness', 'readiness', 'startup'] as const).flatMap((kind) => {
    const probe: ProbeSpec = pool.health[kind]
    return [
      ...below(`${path}.health.${kind}.timeoutSeconds`, probe.timeoutMs, 'periodSeconds', probe.periodMs),
      // Kubernetes' own rule: one success ends the start, and one proves that a process is alive.
      ...when(
        kind !== 'readiness' && probe.successThreshold !== 1,
        `${path}.health.${kind}.successThreshold must be 1, got ${probe.successThreshold}`,
      ),
    ]
  })
}

function checkTimes(path: string, { pulse, leaseMs }: PoolSpec): readonly string[] {
  return [
    ...below(`${path}.pulse.every`, pulse.everyMs, 'pulse.suspect', pulse.suspectMs),
    ...below(`${path}.pulse.suspect`, pulse.suspectMs, 'pulse.hung', pulse.hungMs),
    ...below(`${path}.pulse.hung`, pulse.hungMs, 'lease', leaseMs),
  ]
}

function checkRecovery(path: string, pool: PoolSpec): readonly string[] {
  const { replicas, recovery } = pool
  return [
    ...when(
      replicas.min > replicas.max,
      `${path}.replicas.min must be at most max (${replicas.max}), got ${replicas.min}`,
    ),
    ...when(
      recovery.maxRecovering > Math.max(1, replicas.max),
      `${path}.recovery.maxRecovering must be at most replicas.max (${replicas.max}), got ${recovery.maxRecovering}`,
    ),
    ...checkBackoff(`${path}.recovery.backoff`, recovery.backoff),
    ...checkBackoff(`${path}.retry.backoff`, pool.retry.backoff),
  ]
}

/** What an agent does not tell cannot be counted, and a limit that is not kept is worse than none. */
function checkBudgets(path: string, raw: RawPool['limits'], { agent, detect }: PoolSpec): readonly string[] {
  const isSilent = agent.kind === 'command' && agent.protocol === 'none'
  const { act } = detect.budget.share
  return [
    ...countedLimits(raw).flatMap((key) =>
      when(isSilent, `${path}.limits.${key} needs an agent that tells its model calls, got protocol "none"`),
    ),
    ...when(act > 1, `${path}.detect.budget.share.act must be at most 1 (a limit is a limit), got ${act}`),
  ]
}

function checkBackoff(path: string, { baseMs, maxMs }: BackoffSpec): readonly string[] {
  return when(baseMs > maxMs, `${path}.base must be at most max (${showDuration(maxMs)}), got ${showDuration(baseMs)}`)
}

function below(path: string, ms: number, limitName: string, limitMs: number): readonly string[] {
  return when(ms >= limitMs, `${path} must be below ${limitName} (${showDuration(limitMs)}), got ${showDuration(ms)}`)
}

function when(broken: boolean, problem: string): readonly string[] {
  return broken ? [problem] : []
}
