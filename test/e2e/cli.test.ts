import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { agentFixture } from '../node.ts'
import { until } from '../until.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const agent = agentFixture('trouble.ts')
let folder = ''

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function prunella(args: readonly string[], signal?: AbortSignal): Promise<Ran> {
  const child = spawn(process.execPath, ['--conditions=prunella-source', main, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  signal?.addEventListener('abort', () => child.kill('SIGINT'), { once: true })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString()
  })
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })))
}

const config = (more: object = {}): string =>
  JSON.stringify({ http: { port: 0 }, pools: { p: { agent, replicas: { min: 1, max: 1 } } }, ...more })

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'prunella-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }))

describe('what is wrong ends in one clear message and the right exit code', () => {
  test.each([
    { name: 'an unknown key', text: config({ pool: {} }), says: /pool/ },
    { name: 'a wrong type', text: config({ pools: { p: { agent, concurrency: 'two' } } }), says: /concurrency/ },
    { name: 'a contradiction', text: config({ pools: { p: { agent, replicas: { min: 3, max: 2 } } } }), says: /min/ },
    { name: 'a missing agent file', text: config({ pools: { p: { agent: './nobody.ts' } } }), says: /nobody\.ts/ },
    { name: 'not JSON', text: '{', says: /prunella\.config\.json/ },
  ])('$name: 78', async ({ text, says }) => {
    writeFileSync(join(folder, 'prunella.config.json'), text)
    const { code, out, err } = await prunella(['up'])
    expect({ code, out }).toEqual({ code: 78, out: '' })
    expect(err).toMatch(says)
  })

  test('no configuration at all: 78', async () => {
    const { code, err } = await prunella(['up'])
    expect(code).toBe(78)
    expect(err).toContain('prunella init')
  })

  test('the port is taken: 1, and the port is named', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    writeFileSync(join(folder, 'prunella.config.json'), config({ http: { port } }))
    const { code, err } = await prunella(['up'])
    server.close()
    expect(code).toBe(1)
    expect(err).toContain(String(port))
  })

  test('the store is locked: 1, and the file is named', async () => {
    writeFileSync(join(folder, 'prunella.config.json'), config())
    const stop = new AbortController()
    const first = prunella(['up'], stop.signal)
    // Made after the store was opened: from here on it is the owner.
    await until(() => existsSync(join(folder, '.prunella', 'work')), { timeoutMs: 20_000, what: 'the first to run' })
    const second = await prunella(['up'])
    stop.abort()
    expect(second.code).toBe(1)
    expect(second.err).toContain('state.db')
    expect((await first).code).toBe(0)
  })

  test('the store is damaged: 1, and it is not replaced', async () => {
    const content = 'this is not a database, but somebody may want it back'
    writeFileSync(join(folder, 'damaged.db'), content)
    chmodSync(join(folder, 'damaged.db'), 0o600)
    writeFileSync(join(folder, 'prunella.config.json'), config({ store: 'sqlite:damaged.db' }))
    const { code, err } = await prunella(['up'])
    expect(code).toBe(1)
    expect(err).toContain('damaged.db')
    expect(readFileSync(join(folder, 'damaged.db'), 'utf8')).toBe(content)
  })

  test('an unknown command: 2', async () => {
    expect((await prunella(['explode'])).code).toBe(2)
  })
})
