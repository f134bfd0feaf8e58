import { readFileSync, statSync, utimesSync } from 'node:fs'
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
