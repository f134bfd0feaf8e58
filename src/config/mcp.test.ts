import { describe, expect, test } from 'vitest'
import { ConfigError } from '../model/errors.ts'
import { env, resolveConfig } from './index.ts'

const url = 'http://127.0.0.1:3001/mcp'

function resolve(check: object, more: object = {}) {
  const raw = { pools: { a: { agent: './a.ts' } }, dependencies: { search: { check, ...more } } }
  return resolveConfig(raw, {
    root: '/project',
    stateFolder: '/project/.prunella',
    env: { KEY: 'very-secret-key', PASSED_KEY: 'passed-secret', PATH: '/bin' },
    fileExists: (path) => ['/project/a.ts', '/project/server.js', '/project/bin/server'].includes(path),
  })
}

function refusal(check: object): string {
  try {
    resolve(check)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'accepted'
}

const noWords = { pass: [], set: {} }

describe('an mcp check', () => {
  test.each([
    { name: 'an address', mcp: url, check: { kind: 'mcp', url, headers: {} } },
    {
      name: 'an address with headers',
      mcp: { url, headers: { authorization: `Bearer ${env('KEY')}` } },
      check: { kind: 'mcp', url, headers: { authorization: 'Bearer very-secret-key' } },
    },
    {
      name: 'a command; what names a file of the project is made absolute',
      mcp: { command: ['node', 'server.js', '--quiet', 'other'] },
      check: {
        kind: 'mcp_command',
        command: ['node', '/project/server.js', '--quiet', 'other'],
        environment: noWords,
      },
    },
    {
      name: 'a program of the project, with its environment',
      mcp: { command: ['./bin/server'], environment: { pass: ['PASSED_KEY'], set: { MODE: 'x' } } },
      check: {
        kind: 'mcp_command',
        command: ['/project/bin/server'],
        environment: { pass: ['PASSED_KEY'], set: { MODE: 'x' } },
      },
    },
  ])('by $name', ({ mcp, check }) => {
    const { dependencies } = resolve({ mcp, tool: 'search' })
    expect(dependencies[0]).toMatchObject({ role: 'tool', critical: false, check: { ...check, tool: 'search' } })
  })

  test.each([
    { name: 'an address has 5 s', mcp: url, more: {}, timeoutMs: 5_000 },
    { name: 'a server that must start has 10 s', mcp: { command: ['node'] }, more: {}, timeoutMs: 10_000 },
    { name: 'but half the period at most', mcp: { command: ['node'] }, more: { period: '4s' }, timeoutMs: 2_000 },
    { name: 'or what is asked for', mcp: { command: ['node'] }, more: { timeout: '20s' }, timeoutMs: 20_000 },
  ])('$name', ({ mcp, more, timeoutMs }) => {
    expect(resolve({ mcp }, more).dependencies[0]).toMatchObject({ check: { tool: null }, probe: { timeoutMs } })
  })

  test('what it is given in secret stays secret, and what stands in the file is warned about', () => {
    const passed = resolve({ mcp: { command: ['node'], environment: { pass: ['PASSED_KEY'] } } })
    expect(passed.secrets).toContain('passed-secret')
    const inline = { command: ['node'], environment: { set: { API_KEY: 'inline-secret-word' } } }
    const { secrets, warnings } = resolve({ mcp: inline })
    expect(secrets).toContain('inline-secret-word')
    expect(warnings).toEqual([
      expect.stringContaining('dependencies.search.check.mcp.environment.set.API_KEY holds a secret in plain text'),
    ])
    const header = resolve({ mcp: { url, headers: { authorization: 'Bearer inline-secret-word' } } })
    expect(header.warnings).toEqual([expect.stringContaining('check.mcp.headers.authorization holds a secret')])
  })

  test.each([
    { check: { mcp: 'ftp://x' }, says: 'check.mcp.url must be an http or https address, got "ftp://x"' },
    { check: { mcp: {} }, says: 'check.mcp must be an address or { command: [...] }, got {}' },
    { check: { mcp: { url, command: ['x'] } }, says: 'check.mcp must be an address or { command: [...] }' },
    { check: { mcp: { command: [] } }, says: 'check.mcp.command must be of length at least 1' },
    { check: { mcp: { command: ['x'], headers: {} } }, says: 'check.mcp.headers belongs to an address' },
    { check: { mcp: { url, environment: {} } }, says: 'check.mcp.environment belongs to a command' },
    {
      check: { mcp: { command: ['./gone'] } },
      says: 'check.mcp.command[0] must be an existing file, got "./gone" (no file at /project/gone)',
    },
    { check: { tcp: 'a:1', tool: 'x' }, says: 'check.tool belongs to an mcp check' },
  ])('refuses: $says', ({ check, says }) => {
    expect(refusal(check)).toContain(says)
  })
})
