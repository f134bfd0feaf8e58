import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { readFiles, report, tidy } from './tidy/check.ts'
import { type File, type Rule, rules } from './tidy/source.ts'

test('the repository keeps the rules of docs/architecture.md', () => {
  const files = readFiles(fileURLToPath(new URL('..', import.meta.url)))
  expect(files.length).toBeGreaterThan(20) // It did look.
  expect(report(tidy(files))).toBe('')
})

/** A breach of a rule, and its neighbour that breaks nothing. Each is a set of files: path to text. */
interface Plant {
  readonly rule: Rule
  readonly name: string
  readonly breach: Readonly<Record<string, string>>
  readonly fine: Readonly<Record<string, string>>
}

const lines = (count: number): string => 'x()\n'.repeat(count)
const body = (count: number): string => `export function f() {\n${lines(count - 2)}}\n`

const imports: readonly Plant[] = [
  {
    rule: 'room',
    name: 'a policy that reaches into the runtime',
    breach: { 'src/policy/a.ts': "import { b } from '../runtime/b.ts'" },
    fine: { 'src/policy/a.ts': "import { b } from '../model/b.ts'" },
  },
  {
    rule: 'room',
    name: 'a type import',
    breach: { 'src/model/a.ts': "import type { B } from '../port/b.ts'" },
    fine: { 'src/port/a.ts': "import type { B } from '../model/b.ts'" },
  },
  {
    rule: 'room',
    name: 'a type import without an import line',
    breach: { 'src/http/a.ts': "export type B = import('../runtime/b.ts').B" },
    fine: { 'src/http/a.ts': "export type B = import('../port/b.ts').B" },
  },
  {
    rule: 'room',
    name: 'a re-export',
    breach: { 'src/agent/a.ts': "export * from '../io/b.ts'" },
    fine: { 'src/agent/a.ts': "export * from '../protocol/b.ts'" },
  },
  {
    rule: 'room',
    name: 'a dynamic import',
    breach: { 'src/cli/a.ts': "await import('../io/b.ts')" },
    fine: { 'src/cli/a.ts': "await import('../compose.ts')" },
  },
  {
    rule: 'room',
    name: 'node: in a pure room',
    breach: { 'src/model/a.ts': "import 'node:path'" },
    fine: { 'src/io/a.ts': "import 'node:path'" },
  },
  {
    rule: 'room',
    name: 'a package where none belongs',
    breach: { 'src/protocol/a.ts': "import { z } from 'zod'" },
    fine: { 'src/io/process/a.ts': "import { z } from 'zod'" },
  },
  {
    rule: 'room',
    name: 'ourselves by name',
    breach: { 'src/cli/a.ts': "import 'prunella/agent'" },
    fine: { 'examples/a.ts': "import 'prunella/agent'" },
  },
  {
    rule: 'room',
    name: 'one io folder in another',
    breach: { 'src/io/store/sqlite/a.ts': "import '../postgres/b.ts'" },
    fine: { 'src/io/store/sqlite/a.ts': "import '../b.ts'", 'src/io/store/b.ts': "import './sqlite/c.ts'" },
  },
  {
    rule: 'room',
    name: 'a policy that the gateway does not need',
    breach: { 'src/gateway/a.ts': "import '../policy/escalate.ts'" },
    fine: { 'src/gateway/a.ts': "import '../policy/breaker.ts'\nimport '../policy/detect/tool-loop.ts'" },
  },
  {
    rule: 'room',
    name: 'test code in what ships',
    breach: { 'src/policy/a.ts': "import '../../test/until.ts'" },
    fine: { 'src/policy/a.test.ts': "import '../../test/until.ts'" },
  },
  {
    rule: 'room',
    name: 'a folder that the table does not know',
    breach: { 'src/utils/a.ts': '' },
    fine: { 'src/offline/a.ts': '' },
  },
  {
    rule: 'compose',
    name: 'compose.ts imported by a room',
    breach: { 'src/http/a.ts': "import '../compose.ts'" },
    fine: { 'src/cli/a.ts': "import '../compose.ts'", 'src/index.ts': "export { b } from './compose.ts'" },
  },
  {
    rule: 'package',
    name: 'a package in two rooms',
    breach: { 'src/io/a.ts': "import '@scope/db/sub'", 'src/config/a.ts': "import '@scope/db'" },
    fine: { 'src/io/a.ts': "import '@scope/db/sub'\nimport 'zod'", 'src/io/b.ts': "import '@scope/db'\nimport 'zod'" },
  },
  {
    rule: 'index',
    name: 'code among the public names',
    breach: { 'src/index.ts': "export * from './a.ts'\nexport const b = 1" },
    fine: { 'src/index.ts': "export { a } from './compose.ts'\nexport type * from './model/task.ts'" },
  },
  {
    rule: 'cycle',
    name: 'three files in a ring',
    breach: {
      'src/io/a.ts': "import './b.ts'",
      'src/io/b.ts': "import type { C } from './c.ts'",
      'src/io/c.ts': "export * from './a.ts'",
    },
    fine: {
      'src/io/a.ts': "import './b.ts'\nimport './c.ts'",
      'src/io/b.ts': "import './c.ts'",
      'src/io/c.ts': "new URL('./a.ts', import.meta.url)",
    },
  },
  {
    rule: 'orphan',
    name: 'a file that only itself and a test import',
    breach: { 'src/io/a.ts': "import './a.ts'", 'src/io/a.test.ts': "import './a.ts'" },
    fine: {
      'package.json': '{ "bin": "dist/cli/main.js", "exports": { "prunella-source": "./src/index.ts" } }',
      'src/index.ts': "export * from './io/a.ts'",
      'src/cli/main.ts': "await import('../io/b.js')",
      'src/io/a.ts': "new URL('./worker.ts', import.meta.url)\nnew URL(`./job$" + '{end}`, import.meta.url)',
      'src/io/b.js': '',
      'src/io/worker.ts': '',
      'src/io/job.ts': '',
    },
  },
]

/** A line that breaks a rule in `at`, and one that does not. */
const line = (rule: Rule, at: string, breach: string, fine: string): Plant => ({
  rule,
  name: breach,
  breach: { [at]: breach },
  fine: { [at]: fine },
})

/** A line that is banned in one file and not in another. */
const place = (rule: Rule, text: string, banned: string, allowed: string): Plant => ({
  rule,
  name: `${text} in ${banned}`,
  breach: { [banned]: text },
  fine: { [allowed]: text },
})

const bans: readonly Plant[] = [
  place('clock', 'Date.now()', 'src/runtime/a.ts', 'src/io/a.ts'),
  place('clock', 'const at = Date.now', 'src/cli/a.ts', 'src/agent/a.ts'),
  place('clock', 'globalThis.performance.now()', 'src/policy/a.ts', 'src/policy/a.test.ts'),
  place('clock', "import { performance } from 'node:perf_hooks'", 'src/http/a.ts', 'bench/a.ts'),
  place('clock', 'const { now } = Date', 'src/http/a.ts', 'test/sim/a.ts'),
  line('clock', 'src/model/a.ts', 'new Date()', 'new Date(atMs)'),
  line('clock', 'src/model/a.ts', 'process.hrtime.bigint()', '// Date.now()'),
  place('timer', 'setTimeout(wake, 5)', 'src/runtime/a.ts', 'src/io/a.ts'),
  place('timer', 'globalThis.setInterval(wake, 5)', 'src/cli/a.ts', 'src/agent/a.ts'),
  place('timer', 'AbortSignal.timeout(5)', 'src/http/a.ts', 'src/cli/a.ts'),
  place('timer', "import { setTimeout } from 'node:timers/promises'", 'src/config/a.ts', 'src/cli/a.ts'),
  place('random', 'Math.random()', 'src/runtime/a.ts', 'src/io/random.ts'),
  place('random', 'crypto.randomUUID()', 'src/cli/a.ts', 'src/agent/a.ts'),
  line(
    'random',
    'src/http/a.ts',
    "import { randomBytes } from 'node:crypto'",
    "import { timingSafeEqual } from 'node:crypto'",
  ),
  place('environment', 'process.env.HOME', 'src/cli/main.ts', 'src/config/environment.ts'),
  place('environment', 'const { env } = process', 'src/http/a.ts', 'src/agent/a.ts'),
  place('environment', "import { env } from 'node:process'", 'src/io/process/host.ts', 'src/io/process/environment.ts'),
  place('console', "console.log('x')", 'src/runtime/a.ts', 'src/cli/a.ts'),
  place('console', 'const { error } = console', 'src/io/a.ts', 'src/io/telemetry/a.ts'),
  place('async', 'export async function f() {}', 'src/policy/a.ts', 'src/runtime/a.ts'),
  place('async', 'const f = async () => 1', 'src/policy/a.ts', 'src/policy/a.test.ts'),
  line('any', 'test/a.test.ts', 'let a: any', 'let any: unknown'),
  line('enum', 'bench/a.ts', 'enum Phase { ready }', "type Phase = 'ready'"),
  place('default-export', 'export default 1', 'src/cli/a.ts', 'examples/triage.ts'),
  place('default-export', 'export { a as default }', 'test/a.ts', 'prunella.config.ts'),
  line('syntax', 'src/model/a.ts', 'const = 1', 'const a = 1'),
]

const nap = 'await new Promise((resolve) => setTimeout(resolve, 50))'
const limit = 'await new Promise((resolve, reject) => setTimeout(reject, 50))'

/** A test of so many lines, in a `describe` that is longer than any function may be. */
const described = (count: number): string =>
  `describe('x', () => {\ntest('y', () => {\n${lines(count - 2)}})\n${lines(70)}})\n`

const long = (rule: Rule, at: string, breach: string, fine: string): Plant => ({
  ...line(rule, at, breach, fine),
  name: `${breach.split('\n').length - 1} lines in ${at}`,
})

const others: readonly Plant[] = [
  line('sleep', 'src/io/a.test.ts', nap, limit),
  line(
    'sleep',
    'test/e2e/a.test.ts',
    'new Promise<void>((done) => { setTimeout(() => done(), 9) })',
    'setTimeout(done, 9)',
  ),
  place('sleep', "import { setTimeout as sleep } from 'node:timers/promises'", 'test/sim/a.ts', 'test/until.ts'),
  place('sleep', 'promisify(setTimeout)', 'test/a.test.ts', 'test/fixtures/slow-agent.ts'),
  long('file-length', 'src/io/a.test.ts', lines(401), lines(400)),
  long('function-length', 'src/io/a.ts', body(71), body(70)),
  long('function-length', 'bench/a.ts', `const f = () => {\n${body(69)}}`, `const f = () => {\n${body(68)}}`),
  long('function-length', 'test/a.test.ts', described(71), described(70)),
  line(
    'machine',
    'docs/a.md',
    ['see ', 'work', 'notes'].join('/'),
    'see https://example.com/work/notes and ./work/notes',
  ),
  line('machine', 'Dockerfile', ['COPY . ', 'root', ''].join('/'), 'COPY . /app/'),
  line('machine', 'package-lock.json', `"https://registry${'.'}npmjs.org/zod"`, '"https://opencollective.com/fastify"'),
]

describe('notices', () => {
  const plants = [...imports, ...bans, ...others]
  const found = (rule: Rule, files: Plant['breach']): string[] =>
    tidy(Object.entries(files).map(([path, text]): File => ({ path, text })))
      .filter((breach) => breach.rule === rule)
      .map(({ path }) => path)

  test.each(plants)('$rule: $name', ({ rule, breach, fine }) => {
    expect(found(rule, breach), 'the planted breach').toHaveLength(1)
    expect(found(rule, fine), 'its neighbour, which is fine').toEqual([])
  })

  test('a breach of every rule is planted above', () => {
    expect(rules.filter((rule) => !plants.some((plant) => plant.rule === rule))).toEqual([])
  })
})

test('a breach is reported with its place and what to write instead', () => {
  const files = [{ path: 'src/policy/a.ts', text: 'export const a = 1\nexport const b = Date.now()\n' }]
  const clock = tidy(files).filter(({ rule }) => rule === 'clock')
  expect(report(clock)).toMatch(
    /^src\/policy\/a\.ts:2 \[clock\] 'Date\.now' only in src\/io\/ .* ask clock\.nowMs\(\)\.$/,
  )
})
