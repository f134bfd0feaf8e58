import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../../../../test/until.ts'
import { limits } from '../../../model/limits.ts'
import type { NewTask } from '../../../model/task.ts'
import type { Store } from '../../../port/store.ts'
import { openSqliteStore } from './index.ts'

const child = fileURLToPath(new URL('../../../../test/fixtures/store-child.ts', import.meta.url))

let folder: string
let path: string
const closers: (() => Promise<void>)[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'prunella-store-'))
  path = join(folder, 'state.db')
})
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
  rmSync(folder, { recursive: true })
})

async function open(): Promise<Store> {
  const store = await openSqliteStore({ path })
  closers.push(() => store.close())
  return store
}

function task(id: string): NewTask {
  const times = { notBeforeMs: null, deadlineMs: null, submittedMs: 0 }
  return { id, pool: 'p', input: null, priority: 0, idempotencyKey: null, needs: [], ...times }
}

/** Another process that owns the store, and the lines it said. */
async function owner(life: string): Promise<{ readonly process: ChildProcess; readonly lines: string[] }> {
  const owning = spawn(process.execPath, [child, path, life], { stdio: ['ignore', 'pipe', 'inherit'] })
  closers.push(async () => {
    if (owning.exitCode === null && owning.signalCode === null && owning.kill('SIGKILL')) await once(owning, 'exit')
  })
  const lines: string[] = []
  createInterface(owning.stdout).on('line', (line) => lines.push(line))
  await until(() => lines.includes('open'), { timeoutMs: 20_000, what: 'the child to open the store' })
  return { process: owning, lines }
}

async function kill(process: ChildProcess): Promise<void> {
  process.kill('SIGKILL')
  await once(process, 'close')
}

describe('calls', () => {
  test('what arrives during a sync shares the next one', async () => {
    const store = await open()
    await Promise.all(Array.from({ length: 200 }, (_, index) => store.submit([task(`t${index}`)], 1_000)))
    await store.close()
    const db = new DatabaseSync(path, { readOnly: true })
    expect(db.prepare('SELECT commits FROM meta').get()?.commits).toBeLessThan(10)
    db.close()
  })

  test('what was asked before closing is answered, what comes after is refused', async () => {
    const store = await open()
    const early = store.submit([task('a')], 10)
    const closed = store.close()
    await expect(store.submit([task('b')], 10)).rejects.toMatchObject({ code: 'PRUNELLA_STORE_FAILED' })
    await closed
    expect(await early).toMatchObject([{ kind: 'created' }])
    await store.close()
    expect(await (await open()).task('a')).not.toBeNull()
  })

  test(`${limits.storeBacklog} wait at once, one more is refused`, async () => {
    const store = await open()
    const calls = Array.from({ length: limits.storeBacklog }, () => store.task('nobody'))
    await expect(store.task('nobody')).rejects.toThrow(`${limits.storeBacklog} calls wait for it`)
    expect(new Set(await Promise.all(calls))).toEqual(new Set([null]))
    expect(await store.task('nobody')).toBeNull()
  })

  test('a damaged store does not open, with its code', async () => {
    await (await open()).close()
    rmSync(path)
    await expect(open()).rejects.toMatchObject({ code: 'PRUNELLA_STORE_DAMAGED' })
  })

  test('a folder that cannot be made is a failure that says so', async () => {
    path = join(fileURLToPath(import.meta.url), 'below', 'a file.db')
    await expect(open()).rejects.toMatchObject({
      code: 'PRUNELLA_STORE_FAILED',
      message: expect.stringContaining('a file.db could not do it: ENOTDIR'),
    })
  })
})

describe('ownership', () => {
  test('a second opening in this process is refused at once, and the first is unharmed', async () => {
    const store = await open()
    const refusal = { code: 'PRUNELLA_STORE_LOCKED', message: expect.stringContaining(`this process (${process.pid})`) }
    await expect(open()).rejects.toMatchObject(refusal)
    await expect(open()).rejects.toMatchObject({ message: expect.stringContaining(path) })
    expect(await store.submit([task('a')], 10)).toMatchObject([{ kind: 'created' }])
  })

  test("another process' store is refused, naming it, until it dies", { timeout: 60_000 }, async () => {
    const other = await owner('a')
    const refusal = { code: 'PRUNELLA_STORE_LOCKED', message: expect.stringContaining(`process ${other.process.pid}`) }
    await expect(open()).rejects.toMatchObject(refusal)
    await expect(open()).rejects.toMatchObject(refusal)
    await kill(other.process)
    expect(await (await open()).depths()).toBeDefined()
  })
})

test('I1: what was acknowledged survives kill -9, ten times in a row', { timeout: 120_000 }, async () => {
  const submitted = new Set<string>()
  const done = new Set<string>()
  for (let life = 0; life < 10; life += 1) {
    const { process, lines } = await owner(`${life}`)
    // At another moment each time: in a sync, in a checkpoint, between two.
    await until(() => lines.length > 20 + life * 37, { timeoutMs: 20_000, what: 'the child to work', everyMs: 1 })
    await kill(process)
    for (const line of lines) {
      if (line.startsWith('+')) submitted.add(line.slice(1))
      if (line.startsWith('=')) done.add(line.slice(1))
    }
  }
  const store = await open()
  const lost: string[] = []
  for (const id of submitted) if ((await store.task(id)) === null) lost.push(id)
  for (const id of done) if ((await store.task(id))?.status !== 'done') lost.push(`${id} done`)
  expect(lost).toEqual([])
  expect(done.size).toBeGreaterThan(100)
})
