import { type Breach, isProduct, type Rule, type Source } from './source.ts'
import { type Use, usesOf } from './uses.ts'

interface Exception {
  /** The file itself, or the start of its path. */
  readonly at: string
  readonly why: string
  /** Only these uses. */
  readonly only?: RegExp
}

interface Ban {
  readonly rule: Rule
  readonly use: RegExp
  readonly applies: (path: string) => boolean
  readonly except: readonly Exception[]
  readonly instead: string
}

const everywhere = (): boolean => true
const timers = /^(AbortSignal\.timeout|node:timers\/promises#.*)$/

const edges: readonly Exception[] = [
  { at: 'src/io/', why: 'implements the ports' },
  { at: 'src/agent/', why: 'runs in a process of its own, where nothing is simulated' },
  { at: 'src/http/page/', why: 'runs in the browser' },
]

const bans: readonly Ban[] = [
  {
    rule: 'clock',
    use: /^(Date\.now|(new )?Date\(\)|performance\.(now|timeOrigin)|process\.(hrtime(\.bigint)?|uptime)|node:perf_hooks#.*|node:process#(hrtime|uptime))$/,
    applies: isProduct,
    except: edges,
    instead: 'Take `nowMs` as an argument, or a Clock (src/port/clock.ts) and ask clock.nowMs().',
  },
  {
    rule: 'timer',
    use: /^((setTimeout|setInterval|setImmediate)\(\)|AbortSignal\.timeout|node:timers(\/promises)?#.*)$/,
    applies: isProduct,
    except: [...edges, { at: 'src/cli/', only: timers, why: 'a client that waits for an answer; it decides nothing' }],
    instead: 'Take a Clock (src/port/clock.ts) and await clock.sleepUntil(atMs, signal).',
  },
  {
    rule: 'random',
    use: /^(Math\.random|crypto\.(random\w+|getRandomValues)|node:crypto#(random\w+|getRandomValues|webcrypto))(\(\))?$/,
    applies: isProduct,
    except: edges,
    instead: 'Take a Random (src/port/random.ts) as an argument.',
  },
  {
    rule: 'environment',
    use: /^(process\.env|node:process#env)$/,
    applies: isProduct,
    except: [
      { at: 'src/config/', why: 'the one reader of what the user set' },
      { at: 'src/agent/', why: 'its environment is what the supervisor told it' },
      { at: 'src/io/process/environment.ts', why: 'builds the environment of a replica from an allow-list' },
    ],
    instead: 'Read the variable in src/config, and take its value as an argument.',
  },
  {
    rule: 'console',
    use: /^(console\.\w+|node:console#.*)$/,
    applies: isProduct,
    except: [
      { at: 'src/cli/', why: 'speaks to people' },
      { at: 'src/io/telemetry/', why: 'is where logs leave the house' },
    ],
    instead: 'Take a Log (src/port/log.ts) as an argument.',
  },
  {
    rule: 'async',
    use: /^(async|await)$/,
    applies: (path) => isProduct(path) && path.startsWith('src/policy/'),
    except: [],
    instead: 'A policy is pure: return a decision, and let src/runtime carry it out.',
  },
  {
    rule: 'any',
    use: /^any$/,
    applies: everywhere,
    except: [],
    instead: 'Write the type, or `unknown` and a check.',
  },
  {
    rule: 'enum',
    use: /^enum$/,
    applies: everywhere,
    except: [],
    instead: "Write a union of string literals: type Phase = 'starting' | 'ready'.",
  },
  {
    rule: 'default-export',
    use: /^export default$/,
    applies: (path) => !/(^|\/)(examples|agents)\/|\.config\.[jt]s$/.test(path), // Files that a user writes.
    except: [],
    instead: 'Export it by name.',
  },
]

export function checkBans(source: Source): readonly Breach[] {
  const { path } = source
  const breaches = usesOf(source).flatMap((use) =>
    bans.filter((ban) => forbids(ban, use, path)).map((ban) => describe(ban, use, path)),
  )
  return breaches.filter((one, index) => breaches.findIndex((other) => isSame(one, other)) === index)
}

function forbids({ use: banned, applies, except }: Ban, { name }: Use, path: string): boolean {
  if (!banned.test(name) || !applies(path)) return false
  return !except.some(({ at, only }) => path.startsWith(at) && (only === undefined || only.test(name)))
}

function describe({ rule, except, instead }: Ban, { name, line }: Use, path: string): Breach {
  const places = except.map(({ at, why }) => `${at} (${why})`).join(', ')
  return { rule, path, line, message: `'${name}' ${places ? `only in ${places}` : 'is banned'}. ${instead}` }
}

function isSame(a: Breach, b: Breach): boolean {
  return a.rule === b.rule && a.line === b.line
}
