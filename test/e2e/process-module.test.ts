import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { ownBootFile } from '../../src/io/process/strip.ts'
import { closeHosts, type Harness, moduleAgent, poolSpec, replica, startHost } from '../process-harness.ts'
import { until } from '../until.ts'

const agentFile = fileURLToPath(new URL('../fixtures/agents/greeter.ts', import.meta.url))
const importedFile = fileURLToPath(new URL('../fixtures/greet.ts', import.meta.url))

let on: Harness
afterEach(closeHosts)

interface Index {
  readonly [path: string]: { readonly mtimeMs: number; readonly file: string }
}
const stripped = () => join(on.workFolder, 'stripped', process.version, 'pool')
const hostFolder = () => join(on.workFolder, 'stripped', 'host', process.version)
const commandLineOf = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
const readIndex = (): Index => JSON.parse(readFileSync(join(stripped(), 'index.json'), 'utf8'))

test('a TypeScript agent runs through the real host, its types stripped once, closed to its user', async () => {
  on = startHost([poolSpec('', { agent: moduleAgent(agentFile) })], { bootFile: ownBootFile })
  on.spawn()
  await on.see('ready')
  on.dispatch('t1', { name: 'Ada' })
  const { start } = await on.see('call_started')
  expect(start).toMatchObject({ kind: 'step', name: 'greet' })
  const { call } = await on.see('call_ended')
  on.apply({ kind: 'ack', replica, incarnation: 1, taskId: 't1', fence: 1, call, phase: 'end', accepted: true })
  expect(await on.see('done')).toMatchObject({ output: 'Hello, Ada' })

  const index = readIndex()
  expect(Object.keys(index)).toEqual(expect.arrayContaining([agentFile, importedFile]))
  expect(readFileSync(join(stripped(), index[importedFile]?.file ?? ''), 'utf8')).not.toContain('interface')
  expect(statSync(join(stripped(), 'index.json')).mode & 0o777).toBe(0o644)
  expect(statSync(stripped()).mode & 0o777).toBe(0o755)
})

test('a changed file is stripped again at the next spawn, an unchanged one is not', async () => {
  on = startHost([poolSpec('', { agent: moduleAgent(agentFile) })], { bootFile: ownBootFile })
  const ready = (incarnation: number) =>
    until(() => on.observations.some((seen) => seen.kind === 'ready' && seen.incarnation === incarnation), {
      timeoutMs: 10_000,
      what: `incarnation ${incarnation}`,
    })
  on.spawn(1)
  await ready(1)
  const made = statSync(join(stripped(), 'index.json')).mtimeMs
  on.spawn(2)
  await ready(2)
  expect(statSync(join(stripped(), 'index.json')).mtimeMs).toBe(made)
  const { atime, mtime } = statSync(importedFile)
  try {
    utimesSync(importedFile, atime, new Date(mtime.getTime() - 5_000))
    on.spawn(3)
    await ready(3)
    expect(readIndex()[importedFile]?.mtimeMs).toBe(mtime.getTime() - 5_000)
  } finally {
    utimesSync(importedFile, atime, mtime)
  }
})

test('a replica starts from our own files joined into one, which its user cannot change', async () => {
  on = startHost([poolSpec('', { agent: moduleAgent(agentFile) })], { bootFile: ownBootFile })
  on.spawn()
  const { pid } = await on.see('spawned')
  await on.see('ready')
  expect(on.warnings.filter((text) => text.includes('joined'))).toEqual([])
  const started = commandLineOf(pid).find((word) => word.startsWith(hostFolder())) ?? ''
  const { mode, uid } = statSync(started)
  expect({ mode: mode & 0o777, uid }).toEqual({ mode: 0o644, uid: process.getuid?.() })
  expect(statSync(hostFolder()).mode & 0o777).toBe(0o755)
})

test('a replica reads compiled code that its user cannot change, and the agent’s own processes are told nothing of it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'prunella-compiled-'))
  try {
    chmodSync(folder, 0o755)
    const curious = join(folder, 'curious.mjs')
    const text = `import { defineAgent } from 'prunella/agent'
      export default defineAgent({ run: async () => process.env.NODE_COMPILE_CACHE ?? 'nothing' })`
    writeFileSync(curious, text)
    const environment = { pass: [], set: { NODE_DEBUG_NATIVE: 'COMPILE_CACHE' } }
    on = startHost([poolSpec('', { agent: moduleAgent(curious), environment })], { bootFile: ownBootFile })
    on.spawn()
    await on.see('ready')
    on.dispatch('t1', null)
    expect(await on.see('done')).toMatchObject({ output: 'nothing' })
    const said = on.host.logs(replica).map((line) => line.text)
    expect(said).toContainEqual(expect.stringMatching(/code cache for ESM .*\/boot-\w+\.mjs was accepted/))
    const compiled = join(hostFolder(), 'compiled')
    for (const path of readdirSync(compiled, { recursive: true, encoding: 'utf8' })) {
      const { mode, uid } = statSync(join(compiled, path))
      expect({ path, write: mode & 0o022, uid }).toEqual({ path, write: 0, uid: process.getuid?.() })
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('where they cannot be joined, replicas load them one by one, and that is said', async () => {
  const workFolder = mkdtempSync(join(tmpdir(), 'prunella-join-'))
  try {
    mkdirSync(join(workFolder, 'stripped'))
    writeFileSync(join(workFolder, 'stripped', 'host'), 'no folder')
    on = startHost([poolSpec('', { agent: moduleAgent(agentFile) })], { bootFile: ownBootFile, workFolder })
    on.spawn()
    const { pid } = await on.see('spawned')
    await on.see('ready')
    expect(commandLineOf(pid)).toContain(ownBootFile)
    expect(on.warnings).toContainEqual(expect.stringContaining('could not be joined'))
    await on.close()
  } finally {
    rmSync(workFolder, { recursive: true, force: true })
  }
})
