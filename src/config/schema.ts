import { isIP } from 'node:net'
import { z } from 'zod'
import { isValidName } from '../model/ids.ts'
import { limits } from '../model/limits.ts'
import { type Duration, parseDuration, parseSize, type Size } from '../model/units.ts'
import { budgetShape } from './budget.ts'
import { detectSchema } from './detect.ts'
import { object } from './issue.ts'

/*
 * The configuration as people write it. Types and limits of single values stand
 * here, defaults in defaults.ts, and what must hold between values in check.ts.
 */

const duration = z.custom<Duration>().transform((value, context) => {
  const ms = parseDuration(value)
  if (ms !== null) return ms
  context.issues.push({
    code: 'custom',
    message: "must be a duration such as '15s', '5m', '250ms' or milliseconds",
    input: value,
  })
  return z.NEVER
})

const positiveDuration = duration.refine((ms) => ms > 0, { error: 'must be above 0' })

const size = z.custom<Size>().transform((value, context) => {
  const bytes = parseSize(value)
  if (bytes !== null && bytes > 0) return bytes
  context.issues.push({ code: 'custom', message: "must be a size such as '512Mi', '1G' or bytes", input: value })
  return z.NEVER
})

const name = z.string().refine(isValidName, {
  error: 'must be a name of 1 to 128 letters, digits, dots, dashes or underscores',
})
const environmentName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: 'must be the name of an environment variable' })
const text = z.string().min(1)
const url = z.string().refine((value) => /^https?:$/.test(URL.parse(value)?.protocol ?? ''), {
  error: 'must be an http or https address',
})
const count = z.int().min(1)
const seconds = z.number().min(0).max(86_400)

const environment = object({
  pass: z.array(environmentName).optional(),
  set: z.record(environmentName, z.string()).optional(),
})

const probe = object({
  initialDelaySeconds: seconds.optional(),
  periodSeconds: seconds.positive().optional(),
  timeoutSeconds: seconds.positive().optional(),
  failureThreshold: count.optional(),
  successThreshold: count.optional(),
})

const backoff = object({
  base: duration.optional(),
  factor: z.number().min(1).max(10).optional(),
  max: duration.optional(),
  jitter: z.number().min(0).max(1).optional(),
})

const agent = z.preprocess(
  (value) => (typeof value === 'string' ? { module: value } : value),
  object({
    module: text.optional(),
    command: z.array(text).min(1).optional(),
    protocol: z.enum(['frames', 'none']).optional(),
  }),
)

const recovery = object(
  {
    mode: z.enum(['act', 'observe']).optional(),
    nudge: z.boolean().optional(),
    alertAfter: object({ softPerHour: count.optional() }).optional(),
    soft: z.int().min(0).optional(),
    hard: z.int().min(0).optional(),
    strikePeriod: positiveDuration.optional(),
    probation: duration.optional(),
    reset: positiveDuration.optional(),
    grace: duration.optional(),
    drain: duration.optional(),
    backoff: backoff.optional(),
    intensity: count.optional(),
    intensityPeriod: positiveDuration.optional(),
    maxRecovering: count.optional(),
    maxQuarantined: z.int().min(0).optional(),
    poisonAfter: count.optional(),
  },
  ['compact'],
)

const pool = object(
  {
    agent,
    owner: text.max(200).optional(),
    concurrency: z.int().min(1).max(1_000).optional(),
    replicas: object({ min: z.int().min(0).max(1_000).optional(), max: z.int().min(1).max(1_000).optional() }, [
      'spare',
    ]).optional(),
    dependsOn: z.array(name).optional(),
    health: object({ liveness: probe.optional(), readiness: probe.optional(), startup: probe.optional() }).optional(),
    pulse: object({
      every: positiveDuration.optional(),
      suspect: positiveDuration.optional(),
      hung: positiveDuration.optional(),
    }).optional(),
    deadlines: object(
      {
        task: positiveDuration.optional(),
        step: positiveDuration.optional(),
        tool: positiveDuration.optional(),
        idle: positiveDuration.optional(),
      },
      ['modelFirstByte', 'modelIdle'],
    ).optional(),
    detect: detectSchema.optional(),
    recovery: recovery.optional(),
    limits: object({
      memory: size.optional(),
      processes: z.int().min(16).max(1_000_000).optional(),
      timePerTask: positiveDuration.optional(),
      ...budgetShape,
    }).optional(),
    retry: object({
      attempts: z.int().min(1).max(1_000).optional(),
      backoff: backoff.optional(),
      repeat: z.enum(['safe_to_retry', 'ask_human']).optional(),
    }).optional(),
    lease: positiveDuration.optional(),
    environment: environment.optional(),
  },
  ['scaling', 'devices', 'kubernetes'],
)

/** By address, or started by command. An address alone may be written as it is. */
const mcpServer = z.preprocess(
  (value) => (typeof value === 'string' ? { url: value } : value),
  object({
    url: url.optional(),
    headers: z.record(z.string(), z.string()).optional(),
    command: z.array(text).min(1).optional(),
    environment: environment.optional(),
  }),
)

const dependency = object({
  check: object({
    http: url.optional(),
    headers: z.record(z.string(), z.string()).optional(),
    tcp: z
      .string()
      .regex(/^[^\s/]+:\d{1,5}$/, { error: 'must be host:port' })
      .optional(),
    postgres: z
      .string()
      .regex(/^postgres(ql)?:\/\/\S+$/, { error: 'must be a postgres:// address' })
      .optional(),
    mcp: mcpServer.optional(),
    tool: text.optional(),
  }),
  role: z.enum(['database', 'tool', 'other']).optional(),
  critical: z.boolean().optional(),
  period: positiveDuration.optional(),
  timeout: positiveDuration.optional(),
  failureThreshold: count.optional(),
  successThreshold: count.optional(),
  breaker: object({
    failures: count.optional(),
    replicas: count.optional(),
    window: positiveDuration.optional(),
    probe: positiveDuration.optional(),
    probeMax: positiveDuration.optional(),
    stable: duration.optional(),
    flap: duration.optional(),
    ramp: positiveDuration.optional(),
  }).optional(),
})

const severity = z.enum(['info', 'warning', 'critical'])

/** What notifies now, and what a later version adds. */
export const notifierKinds = ['log', 'webhook'] as const
const laterKinds = ['slack', 'pagerduty', 'alertmanager']

const notifierKind = z.custom<(typeof notifierKinds)[number]>((value) => notifierKinds.some((kind) => kind === value), {
  error: ({ input }) =>
    laterKinds.includes(String(input))
      ? `must be ${notifierKinds.join(' or ')}: ${input} is not supported by this version of Prunella yet`
      : `must be ${notifierKinds.join(' or ')}`,
})

const network = z.string().refine(isNetwork, {
  error: "must be an address or a network such as '10.1.2.3', '10.0.0.0/8' or 'fd00::/8'",
})
const allowPrivate = z.union([z.boolean(), z.array(network).min(1)], {
  error: 'must be true, false or a list of addresses and networks',
})

function isNetwork(value: string): boolean {
  const [address = '', bits, ...rest] = value.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0 || address.includes('%')) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

const notifier = object(
  {
    kind: notifierKind,
    minimum: severity.optional(),
    url: url.optional(),
    secret: text.optional(),
    allowPrivate: allowPrivate.optional(),
    timeout: positiveDuration.optional(),
  },
  ['key', 'channel'],
)

const provider = object({ api: z.enum(['openai', 'anthropic']), baseUrl: url.optional(), apiKey: text.optional() }, [
  'limits',
  'models',
  'prices',
])

export const configSchema = object(
  {
    store: z
      .string()
      .regex(/^sqlite:.+$/, {
        error: "must be 'sqlite:PATH' (other stores are not supported by this version of Prunella yet)",
      })
      .optional(),
    http: object({
      host: text.optional(),
      /** 0 asks for any free port. */
      port: z.int().min(0).max(65_535).optional(),
      /** Names under which the server may be called, beside addresses and localhost. */
      names: z.array(text).optional(),
    }).optional(),
    gateway: object({ providers: z.record(name, provider).optional() }, ['cache', 'fallback']).optional(),
    dependencies: z.record(name, dependency).optional(),
    pools: z
      .record(name, pool)
      .refine((pools) => Object.keys(pools).length > 0, { error: 'must name at least one pool' }),
    notify: z.array(notifier).max(limits.notifiers).optional(),
    shutdown: duration.optional(),
  },
  ['role', 'alerts', 'telemetry'],
)

export type RawConfig = z.output<typeof configSchema>
export type RawPool = z.output<typeof pool>
export type RawProbe = z.output<typeof probe>
export type RawBackoff = z.output<typeof backoff>
export type RawDependency = z.output<typeof dependency>
export type RawNotifier = z.output<typeof notifier>
export type RawProvider = z.output<typeof provider>
