import { describe, expect, test } from 'vitest'
import { defaultDetect } from '../model/detect.ts'
import { ConfigError } from '../model/errors.ts'
import { env, resolveConfig } from './index.ts'
import type { ResolveContext } from './resolve.ts'

const context: ResolveContext = {
  root: '/project',
  stateFolder: '/project/.prunella',
  env: { KEY: 'very-secret-key', PASSED: 'passed-secret', PATH: '/usr/local/bin' },
  fileExists: (path) => ['/project/a.ts', '/project/agent.py', '/project/bin/run'].includes(path),
}

function pool(rest: object = {}) {
  return { pools: { a: { agent: './a.ts', ...rest } } }
}

function resolve(raw: unknown) {
  return resolveConfig(raw, context)
}

function refusal(raw: unknown): string {
  try {
    resolve(raw)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'accepted'
}

describe('defaults', () => {
  test('one agent is enough', () => {
    const config = resolve(pool())
    expect(config).toMatchObject({
      store: { kind: 'sqlite', path: '/project/.prunella/state.db' },
      http: { host: '127.0.0.1', port: 8080 },
      warnings: [],
    })
    expect(config.pools[0]).toEqual({
      name: 'a',
      owner: null,
      agent: { kind: 'module', path: '/project/a.ts' },
      concurrency: 1,
      replicas: { min: 1, max: 1 },
      dependsOn: [],
      health: {
        liveness: { initialDelayMs: 0, periodMs: 10_000, timeoutMs: 5_000, failureThreshold: 3, successThreshold: 1 },
        readiness: { initialDelayMs: 0, periodMs: 30_000, timeoutMs: 10_000, failureThreshold: 2, successThreshold: 1 },
        startup: { initialDelayMs: 0, periodMs: 5_000, timeoutMs: 2_500, failureThreshold: 30, successThreshold: 1 },
      },
      pulse: { everyMs: 1_000, suspectMs: 3_000, hungMs: 5_000 },
      deadlines: {
        ...{ taskMs: null, stepMs: 600_000, toolMs: 120_000, idleMs: 600_000 },
        ...{ modelFirstByteMs: 60_000, modelIdleMs: 60_000, modelAnswerMs: 600_000 },
      },
      recovery: {
        mode: 'act',
        nudge: true,
        injectNudge: false,
        alertAfterSoft: 20,
        soft: 2,
        hard: 3,
        strikePeriodMs: 600_000,
        probationMs: 60_000,
        resetMs: 5_000,
        graceMs: 5_000,
        drainMs: 30_000,
        backoff: { baseMs: 1_000, factor: 2, maxMs: 300_000, jitter: 0.5 },
        intensity: 10,
        intensityPeriodMs: 60_000,
        maxRecovering: 1,
        maxQuarantined: 1,
        poisonAfter: 3,
      },
      retry: {
        attempts: 3,
        backoff: { baseMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 },
        repeat: 'safe_to_retry',
      },
      leaseMs: 15_000,
      memoryBytes: null,
      processLimit: 2_048,
      detect: defaultDetect,
      environment: { pass: [], set: {} },
    })
  })

  test.each([
    {
      name: 'half the pool recovers at once',
      raw: { replicas: { min: 2, max: 7 } },
      want: { recovery: { maxRecovering: 3, maxQuarantined: 7 } },
    },
    { name: 'max follows min', raw: { replicas: { min: 3 } }, want: { replicas: { min: 3, max: 3 } } },
    {
      name: 'a pulse twice as fast is judged twice as fast',
      raw: { pulse: { every: 500 } },
      want: { pulse: { everyMs: 500, suspectMs: 1_500, hungMs: 2_500 } },
    },
    {
      name: 'hung follows suspect',
      raw: { pulse: { suspect: '6s' } },
      want: { pulse: { everyMs: 1_000, suspectMs: 6_000, hungMs: 10_000 }, leaseMs: 30_000 },
    },
    {
      name: 'a time-out fits a shorter period',
      raw: { health: { liveness: { periodSeconds: 2 } } },
      want: { health: { liveness: { periodMs: 2_000, timeoutMs: 1_000 } } },
    },
    {
      name: 'a level that was given takes along those below it',
      raw: { detect: { toolLoop: { thresholds: { same_call: { act: 2 } } } } },
      want: { detect: { toolLoop: { thresholds: { same_call: { note: 2, nudge: 2, act: 2 } } } } },
    },
    {
      name: 'and those above it',
      raw: { detect: { toolLoop: { thresholds: { same_call: { note: 7 } } } } },
      want: { detect: { toolLoop: { thresholds: { same_call: { note: 7, nudge: 7, act: 7 } } } } },
    },
    {
      name: 'a tool is declared as polling, and has thresholds of its own',
      raw: {
        detect: { toolLoop: { tools: { wait: { polling: true }, grep: { thresholds: { same_error: { act: 9 } } } } } },
      },
      want: {
        detect: {
          toolLoop: {
            tools: {
              wait: { polling: true, thresholds: {} },
              grep: { polling: false, thresholds: { same_error: { note: 2, nudge: 3, act: 9 } } },
            },
          },
        },
      },
    },
    {
      name: 'a horizon is a duration',
      raw: { detect: { memory: { horizon: '1m', fullShare: 0.9 } } },
      want: { detect: { memory: { horizonMs: 60_000, fullShare: 0.9 } } },
    },
    { name: 'memory is a quantity', raw: { limits: { memory: '512Mi' } }, want: { memoryBytes: 536_870_912 } },
    { name: 'processes are counted', raw: { limits: { processes: 64 } }, want: { processLimit: 64 } },
    {
      name: 'a command stays a command',
      raw: { agent: { command: ['python3', 'agent.py', '-u', 'other.py'] } },
      want: {
        agent: { kind: 'command', command: ['python3', '/project/agent.py', '-u', 'other.py'], protocol: 'frames' },
      },
    },
    {
      name: 'a program of the project',
      raw: { agent: { command: ['bin/run'], protocol: 'none' } },
      want: { agent: { kind: 'command', command: ['/project/bin/run'], protocol: 'none' } },
    },
  ])('$name', ({ raw, want }) => {
    expect(resolve(pool(raw)).pools[0]).toMatchObject(want)
  })
})

describe('dependencies', () => {
  test('providers and checks become what the prober looks at', () => {
    const config = resolve({
      ...pool({ dependsOn: ['openai', 'claude', 'db', 'search', 'cache', 'billing'] }),
      gateway: {
        providers: {
          openai: { api: 'openai', baseUrl: 'http://127.0.0.1:9/v1/', apiKey: env('KEY') },
          claude: { api: 'anthropic', apiKey: env('KEY') },
        },
      },
      dependencies: {
        db: { check: { postgres: `postgres://u:${env('KEY')}@db/x` }, period: '20s', timeout: '5s', critical: true },
        search: { check: { mcp: 'http://127.0.0.1:3001/mcp', tool: 'search' } },
        cache: { check: { tcp: '[::1]:6379' } },
        billing: { check: { http: 'http://127.0.0.1:9000/healthz' }, period: '2s' },
      },
    })
    expect(config.dependencies).toMatchObject([
      {
        name: 'openai',
        role: 'model_provider',
        critical: true,
        check: { url: 'http://127.0.0.1:9/v1/models', headers: { authorization: 'Bearer very-secret-key' } },
        probe: { timeoutMs: 10_000 },
      },
      {
        name: 'claude',
        check: { url: 'https://api.anthropic.com/v1/models', headers: { 'x-api-key': 'very-secret-key' } },
      },
      {
        name: 'db',
        role: 'database',
        critical: true,
        check: { kind: 'postgres', url: 'postgres://u:very-secret-key@db/x' },
        probe: { periodMs: 20_000, timeoutMs: 5_000 },
      },
      { name: 'search', role: 'tool', critical: false, check: { kind: 'mcp', tool: 'search' } },
      { name: 'cache', role: 'other', check: { kind: 'tcp', host: '::1', port: 6379 } },
      { name: 'billing', probe: { periodMs: 2_000, timeoutMs: 1_000 } },
    ])
    expect(config.secrets).toContain('very-secret-key')
    expect(config.warnings).toEqual([])
  })

  test.each([
    { token: 'fifteen-letters', ok: false },
    { token: 'sixteen-letters!', ok: true },
  ])('a token of $token.length characters', ({ token, ok }) => {
    const read = () => resolveConfig(pool(), { ...context, env: { PRUNELLA_TOKEN: token } })
    if (ok) expect(read()).toMatchObject({ http: { token }, secrets: [token] })
    else expect(read).toThrow('PRUNELLA_TOKEN must be at least 16 characters long, got 15')
  })

  test('a secret in the file is used, kept out of every log, and warned about', () => {
    const config = resolve({
      ...pool({ environment: { pass: ['PASSED', 'PATH'], set: { API_TOKEN: 'literal-token', COLOUR: 'turquoise' } } }),
      dependencies: { db: { check: { postgres: 'postgres://u:pass%40word@db/x' } } },
    })
    expect([...config.secrets].sort()).toEqual(['literal-token', 'pass%40word', 'pass@word', 'passed-secret'])
    expect(config.warnings).toEqual([
      expect.stringContaining('dependencies.db.check.postgres'),
      expect.stringContaining('pools.a.environment.set.API_TOKEN'),
    ])
  })
})

describe('refusals', () => {
  test.each([
    { name: 'not an object', raw: 7, says: 'The configuration must be an object, got 7' },
    { name: 'no pools', raw: { pools: {} }, says: 'pools must name at least one pool, got {}' },
    {
      name: 'unknown key with a guess',
      raw: pool({ replica: {} }),
      says: 'pools.a.replica is an unknown key, did you mean "replicas"?',
    },
    {
      name: 'unknown key without one',
      raw: { ...pool(), xyz: 1 },
      says: 'xyz is an unknown key; known here: store, http',
    },
    {
      name: 'a key of a later version',
      raw: pool({ scaling: {} }),
      says: 'pools.a.scaling is not supported by this version of Prunella yet',
    },
    {
      name: 'a nested key of a later version',
      raw: pool({ replicas: { min: 1, spare: 1 } }),
      says: 'pools.a.replicas.spare is not supported by this version',
    },
    {
      name: 'a store of a later version',
      raw: { ...pool(), store: 'postgres://x' },
      says: `store must be 'sqlite:PATH' (other stores are not supported by this version of Prunella yet), got "postgres://x"`,
    },
    { name: 'wrong type', raw: pool({ concurrency: '2' }), says: 'pools.a.concurrency must be a number, got "2"' },
    { name: 'not whole', raw: pool({ concurrency: 1.5 }), says: 'pools.a.concurrency must be a whole number, got 1.5' },
    { name: 'too small', raw: pool({ concurrency: 0 }), says: 'pools.a.concurrency must be at least 1, got 0' },
    {
      name: 'wrong word',
      raw: pool({ recovery: { mode: 'watch' } }),
      says: 'pools.a.recovery.mode must be one of "act", "observe", got "watch"',
    },
    {
      name: 'not a duration',
      raw: pool({ deadlines: { step: '5 minutes' } }),
      says: `pools.a.deadlines.step must be a duration such as '15s', '5m', '250ms' or milliseconds, got "5 minutes"`,
    },
    {
      name: 'too few processes for a runtime with threads',
      raw: pool({ limits: { processes: 15 } }),
      says: 'pools.a.limits.processes must be at least 16',
    },
    { name: 'not a size', raw: pool({ limits: { memory: '512MB' } }), says: 'pools.a.limits.memory must be a size' },
    {
      name: 'a name with a slash',
      raw: { pools: { 'a/b': { agent: './a.ts' } } },
      says: 'pools["a/b"] must be a name of',
    },
    { name: 'a prototype key', raw: JSON.parse('{"pools":{"__proto__":{"agent":"./a.ts"}}}'), says: 'pools' },
    {
      name: 'min above max',
      raw: pool({ replicas: { min: 3, max: 2 } }),
      says: 'pools.a.replicas.min must be at most max (2), got 3',
    },
    {
      name: 'time-out as long as the period',
      raw: pool({ health: { liveness: { periodSeconds: 5, timeoutSeconds: 5 } } }),
      says: 'pools.a.health.liveness.timeoutSeconds must be below periodSeconds (5s), got 5s',
    },
    {
      name: 'two successes of liveness',
      raw: pool({ health: { liveness: { successThreshold: 2 } } }),
      says: 'successThreshold must be 1, got 2',
    },
    {
      name: 'suspect as soon as a pulse',
      raw: pool({ pulse: { every: '3s', suspect: '3s' } }),
      says: 'pools.a.pulse.every must be below pulse.suspect (3s), got 3s',
    },
    {
      name: 'hung as soon as suspect',
      raw: pool({ pulse: { suspect: '3s', hung: '3s' } }),
      says: 'pools.a.pulse.suspect must be below pulse.hung (3s), got 3s',
    },
    {
      name: 'lease as short as hung',
      raw: pool({ lease: '5s' }),
      says: 'pools.a.pulse.hung must be below lease (5s), got 5s',
    },
    {
      name: 'backoff upside down',
      raw: pool({ retry: { backoff: { base: '2s', max: '1s' } } }),
      says: 'pools.a.retry.backoff.base must be at most max (1s), got 2s',
    },
    {
      name: 'unknown dependency',
      raw: { ...pool({ dependsOn: ['databse'] }), dependencies: { database: { check: { tcp: 'a:1' } } } },
      says: 'pools.a.dependsOn[0] must name a dependency or a provider, got "databse"; did you mean "database"?',
    },
    {
      name: 'one name for two things',
      raw: {
        ...pool(),
        dependencies: { x: { check: { tcp: 'a:1' } } },
        gateway: { providers: { x: { api: 'openai' } } },
      },
      says: 'dependencies.x has the name of a provider',
    },
    {
      name: 'two checks in one',
      raw: { ...pool(), dependencies: { x: { check: { tcp: 'a:1', http: 'http://a' } } } },
      says: 'dependencies.x.check must have exactly one of http, tcp, postgres, mcp, got ["http","tcp"]',
    },
    {
      name: 'levels upside down',
      raw: pool({ detect: { toolLoop: { thresholds: { cycle: { nudge: 4, act: 3 } } } } }),
      says: 'pools.a.detect.toolLoop.thresholds.cycle must rise from note to nudge to act',
    },
    {
      name: 'a form nobody knows',
      raw: pool({ detect: { toolLoop: { thresholds: { same_cal: { act: 3 } } } } }),
      says: 'same_cal is an unknown key, did you mean "same_call"?',
    },
    {
      name: 'a slope through four samples',
      raw: pool({ detect: { memory: { samples: 4 } } }),
      says: 'pools.a.detect.memory.samples must be at least 5, got 4',
    },
    {
      name: 'a detector of a later version',
      raw: pool({ detect: { stall: {} } }),
      says: 'pools.a.detect.stall is not supported by this version of Prunella yet',
    },
    {
      name: 'missing agent file',
      raw: pool({ agent: './gone.ts' }),
      says: 'pools.a.agent must be an existing file, got "./gone.ts" (no file at /project/gone.ts)',
    },
    {
      name: 'missing program',
      raw: pool({ agent: { command: ['./gone'] } }),
      says: 'pools.a.agent.command[0] must be an existing file, got "./gone"',
    },
    {
      name: 'module and command',
      raw: pool({ agent: { module: './a.ts', command: ['x'] } }),
      says: 'pools.a.agent must be the path of a module or { command: [...] }',
    },
    {
      name: 'protocol of a module',
      raw: pool({ agent: { module: './a.ts', protocol: 'none' } }),
      says: 'pools.a.agent.protocol belongs to a command',
    },
    {
      name: 'missing variable',
      raw: { ...pool(), gateway: { providers: { x: { api: 'openai', apiKey: env('NOPE') } } } },
      says: 'gateway.providers.x.apiKey needs the environment variable NOPE, which is not set',
    },
  ])('$name', ({ raw, says }) => {
    expect(refusal(raw)).toContain(says)
  })

  test('all at once, and without the secret', () => {
    const lines = refusal({
      ...pool({ concurrency: 0, deadlines: { step: 'x' } }),
      dependencies: { d: { check: { http: `ftp://${env('KEY')}/${env('NOPE')}` } } },
    }).split('\n')
    expect(lines).toHaveLength(4)
    expect(lines.join()).not.toContain('very-secret-key')
  })
})
