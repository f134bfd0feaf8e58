import { describe, expect, test } from 'vitest'
import { ConfigError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import { env, resolveConfig } from './index.ts'

const url = 'https://hooks.example/prunella'
const secret = env('HOOK_SECRET')

function resolve(notify: unknown, pool: object = {}) {
  const context = { root: '/project', stateFolder: '/project/.prunella', fileExists: () => true }
  const raw = { pools: { a: { agent: './a.ts', ...pool } }, notify }
  return resolveConfig(raw, { ...context, env: { HOOK_SECRET: 'a-secret-of-the-hook' } })
}

function refusal(notify: unknown): string {
  try {
    resolve(notify)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'accepted'
}

describe('accepted', () => {
  test('nobody is told unless the configuration says so', () => {
    expect(resolve(undefined).notify).toEqual([])
  })

  test('kinds with their defaults, in order, each with a name of its own', () => {
    const config = resolve([{ kind: 'log' }, { kind: 'webhook', url, secret }, { kind: 'webhook', url, secret }])
    const webhook = { kind: 'webhook', minimum: 'warning', url, secret: 'a-secret-of-the-hook', allowPrivate: false }
    expect(config.notify).toEqual([
      { kind: 'log', name: 'log', minimum: 'info', timeoutMs: 5_000 },
      { ...webhook, name: 'webhook', timeoutMs: 5_000 },
      { ...webhook, name: 'webhook-2', timeoutMs: 5_000 },
    ])
    expect(config.warnings).toEqual([])
    expect(config.secrets).toEqual(['a-secret-of-the-hook'])
  })

  test('what is set stands', () => {
    const set = { minimum: 'critical', allowPrivate: ['10.0.0.0/8', '::1'], timeout: '60s' }
    expect(resolve([{ kind: 'webhook', url, secret, ...set }]).notify).toMatchObject([
      { minimum: 'critical', allowPrivate: ['10.0.0.0/8', '::1'], timeoutMs: 60_000 },
    ])
    expect(resolve([], { owner: 'team-care' }).pools[0]?.owner).toBe('team-care')
    expect(resolve([]).pools[0]?.owner).toBeNull()
  })

  test('secrets in the file are kept out of every log, and warned about', () => {
    const inline = { kind: 'webhook', url: 'https://me:pass-word@hooks.example', secret: 'sixteen-letters!' }
    const { secrets, warnings } = resolve([inline])
    expect([...secrets].sort()).toEqual(['pass-word', 'sixteen-letters!'])
    expect(warnings).toEqual([
      expect.stringContaining('notify[0].secret holds a secret in plain text'),
      expect.stringContaining('notify[0].url holds a secret in plain text'),
    ])
  })
})

describe('refused', () => {
  const webhook = (more: object) => [{ kind: 'webhook', url, secret, ...more }]
  const tooMany = Array.from({ length: limits.notifiers + 1 }, () => ({ kind: 'log' }))
  test.each([
    {
      name: 'a kind of a later version',
      notify: [{ kind: 'slack', url: 'https://hooks.slack.example/T/very-private' }],
      says: 'notify[0].kind must be log or webhook: slack is not supported by this version of Prunella yet, got "slack"',
    },
    {
      name: 'another kind of a later version, with its key',
      notify: [{ kind: 'pagerduty', key: 'very-private' }],
      says: 'notify[0].key is not supported by this version of Prunella yet, remove it',
    },
    { name: 'no kind at all', notify: [{ kind: 'mail' }], says: 'notify[0].kind must be log or webhook, got "mail"' },
    { name: 'without a url', notify: webhook({ url: undefined }), says: 'notify[0].url must be an http or https' },
    { name: 'file:', notify: webhook({ url: 'file:///etc/passwd' }), says: 'notify[0].url must be an http or https' },
    { name: 'gopher:', notify: webhook({ url: 'gopher://x' }), says: 'notify[0].url must be an http or https address' },
    {
      name: 'without a secret',
      notify: webhook({ secret: undefined }),
      says: 'notify[0].secret must be at least 16 characters long, got nothing',
    },
    {
      name: 'a secret one character short',
      notify: webhook({ secret: 'fifteen-letters' }),
      says: 'notify[0].secret must be at least 16 characters long, got 15',
    },
    {
      name: 'a time-out that is too long',
      notify: webhook({ timeout: '61s' }),
      says: 'notify[0].timeout must be at most 1m, got 61s',
    },
    { name: 'a severity', notify: [{ kind: 'log', minimum: 'loud' }], says: 'notify[0].minimum must be one of "info"' },
    { name: 'a log with a url', notify: [{ kind: 'log', url }], says: 'notify[0].url belongs to a webhook' },
    {
      name: 'a network',
      notify: webhook({ allowPrivate: ['10.0.0.0/33'] }),
      says: 'allowPrivate[0] must be an address',
    },
    { name: 'a name for a network', notify: webhook({ allowPrivate: ['intern'] }), says: 'or a network such as' },
    { name: 'a word for true', notify: webhook({ allowPrivate: 'yes' }), says: 'must be true, false or a list' },
    { name: 'too many', notify: tooMany, says: 'notify must be of length at most 10' },
  ])('$name', ({ notify, says }) => {
    expect(refusal(notify)).toContain(says)
    expect(refusal(notify)).not.toContain('very-private')
  })

  test('the shortest secret and the longest time-out are accepted', () => {
    expect(refusal(webhook({ secret: 'sixteen-letters!', timeout: '60s' }))).toBe('accepted')
  })
})
