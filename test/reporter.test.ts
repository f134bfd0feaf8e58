import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const folder = fileURLToPath(new URL('fixtures/reporter/', import.meta.url))
const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))

/** Runs vitest with our reporter over some files of `fixtures/reporter`. */
function run(files: readonly string[], environment: Record<string, string> = {}, options: readonly string[] = []) {
  const env = { PATH: process.env.PATH, ...environment }
  const { status, stdout } = spawnSync(process.execPath, [vitest, 'run', ...options, ...files], {
    cwd: folder,
    env,
    encoding: 'utf8',
  })
  return { status, lines: stdout.trimEnd().split('\n') }
}

test('counts every way to fail, names what was skipped and why, and comes last', () => {
  const { status, lines } = run(['outcomes', 'broken', 'unhandled'])
  expect(status).toBe(1)
  expect(lines.slice(-5)).toEqual([
    'skipped: outcomes.case.ts > needs a tool: redis-server is not installed',
    'skipped: outcomes.case.ts > is switched off: no reason given',
    'skipped: outcomes.case.ts > is not written: todo',
    'skipped: outcomes.case.ts > a suite > never runs: no reason given',
    '2 passed, 4 failed, 4 skipped', // The failed test, the suite, the module, the rejection.
  ])
})

test('a skipped test passes at home and fails where nothing may be skipped', () => {
  const home = run(['skipped'])
  expect([home.status, home.lines.at(-1)]).toEqual([0, '1 passed, 0 failed, 1 skipped'])
  const ci = run(['skipped'], { PRUNELLA_NO_SKIP: '1' })
  expect([ci.status, ci.lines.at(-1)]).toEqual([1, '1 passed, 1 failed'])
})

test('a test left out by its name is not a skipped one', () => {
  const { status, lines } = run(['skipped'], { PRUNELLA_NO_SKIP: '1' }, ['-t', 'passes'])
  expect([status, lines.at(-1)]).toEqual([0, '1 passed, 0 failed'])
})

test('a run without a test is a failure', () => {
  const { status, lines } = run(['no-such-file'])
  expect([status, lines.at(-1)]).toEqual([1, '0 passed, 1 failed'])
})
