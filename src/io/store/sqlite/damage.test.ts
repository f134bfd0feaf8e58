import { createHash } from 'node:crypto'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Engine } from './engine.ts'

let folder: string
/** A store as kill -9 leaves it: 30 transactions in the log, 10 in the database. */
let path: string

const frameBytes = 4_096 + 24

function submit(engine: Engine, id: string): void {
  const times = { notBeforeMs: null, deadlineMs: null, submittedMs: 0 }
  const [reply] = engine.run([
    [
      1,
      'submit',
      [{ id, pool: 'p', input: 'x'.repeat(500), priority: 0, idempotencyKey: null, needs: [], ...times }],
      1_000,
    ],
  ])
  expect(reply).toContain('created')
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'prunella-damage-'))
  path = join(folder, 'killed', 'state.db')
  const live = join(folder, 'live', 'state.db')
  let engine = new Engine(live)
  for (let index = 0; index < 10; index += 1) submit(engine, `early${index}`)
  engine.close()
  copyFileSync(live, join(folder, 'older.db'))
  engine = new Engine(live)
  for (let index = 0; index < 30; index += 1) submit(engine, `late${index}`)
  mkdirSync(join(folder, 'killed'))
  for (const suffix of ['', '-wal', '.mark']) cpSync(live + suffix, path + suffix)
  engine.close()
})
afterEach(() => rmSync(folder, { recursive: true }))

/** The error of opening, or how many tasks are there. */
function opened(): string | number {
  let engine: Engine
  try {
    engine = new Engine(path)
  } catch (error) {
    return error instanceof Error && 'code' in error ? `${error.code} ${error.message}` : String(error)
  }
  const depths = JSON.parse(engine.run([[1, 'depths']])[0] ?? '')[1]
  engine.close()
  return depths.p?.queued ?? 0
}

function flip(file: string, at: number): void {
  const bytes = readFileSync(file)
  bytes[at] = (bytes[at] ?? 0) ^ 0xff
  writeFileSync(file, bytes)
}

test('after kill -9 everything is there', () => {
  expect(opened()).toBe(40)
  expect(opened()).toBe(40)
})

test.each<{ name: string; what: RegExp; hurt: () => void }>([
  { name: 'an empty file', what: /the file is empty/, hurt: () => writeFileSync(path, '') },
  { name: 'a foreign file', what: /not an SQLite database/, hurt: () => writeFileSync(path, 'dear diary '.repeat(99)) },
  {
    name: "another program's database",
    what: /belongs to another program \(application id 7/,
    hurt: () => {
      rmSync(path)
      rmSync(`${path}-wal`)
      const db = new DatabaseSync(path)
      db.exec('PRAGMA application_id = 7; CREATE TABLE theirs (a)')
      db.close()
    },
  },
  {
    name: 'a newer version',
    what: /made by a newer Prunella \(schema 99, this one knows \d+\)/,
    hurt: () => {
      const db = new DatabaseSync(path)
      db.exec('PRAGMA user_version = 99')
      db.close()
    },
  },
  {
    name: 'a symbolic link',
    what: /not a regular file/,
    hurt: () => {
      rmSync(path)
      symlinkSync(join(folder, 'older.db'), path)
    },
  },
  {
    name: 'a corrupt page',
    what: /its check says|malformed/,
    hurt: () => writeFileSync(path, corrupt(readFileSync(path))),
  },
  { name: 'a cut file', what: /its check says|malformed/, hurt: () => truncateSync(path, 2 * 4_096) },
  { name: 'a database gone, its log left', what: /the file is gone, after 40 transactions/, hurt: () => rmSync(path) },
  {
    name: 'a database and mark gone, its log left',
    what: /the file is gone, its write-ahead log is still there/,
    hurt: () => {
      rmSync(path)
      rmSync(`${path}.mark`)
    },
  },
  { name: 'an older copy', what: /its last 30 acknowledged transactions are missing/, hurt: olderCopy },
  { name: 'a log that is gone', what: /its last 30 acknowledged/, hurt: () => rmSync(`${path}-wal`) },
  { name: 'a log that is empty', what: /its last 30 acknowledged/, hurt: () => truncateSync(`${path}-wal`, 0) },
  { name: 'a log without its last frame', what: /its last 1 acknowledged/, hurt: () => cutLog(1) },
  { name: 'a damaged header of the log', what: /its last 30 acknowledged/, hurt: () => flip(`${path}-wal`, 20) },
  {
    name: 'a damaged frame',
    what: /frame 3 of its write-ahead log is damaged/,
    hurt: () => flip(`${path}-wal`, 32 + 2 * frameBytes + 99),
  },
  {
    name: 'the last frame damaged',
    what: /its last 1 acknowledged/,
    hurt: () => flip(`${path}-wal`, readFileSync(`${path}-wal`).length - 99),
  },
  {
    name: 'a damaged frame, and no mark',
    what: /frame 3 of its write-ahead log is damaged/,
    hurt: () => {
      rmSync(`${path}.mark`)
      flip(`${path}-wal`, 32 + 2 * frameBytes + 99)
    },
  },
  {
    name: "another store's file",
    what: /another store's file stands in its place/,
    hurt: () => {
      rmSync(`${path}-wal`)
      const other = new Engine(join(folder, 'other', 'state.db'))
      other.close()
      copyFileSync(join(folder, 'other', 'state.db'), path)
    },
  },
])('$name is refused, named, and left as it is', ({ what, hurt }) => {
  hurt()
  const before = [path, `${path}-wal`].map(bytesOf)
  const answer = opened()
  expect(answer).toMatch(/^PRUNELLA_STORE_DAMAGED The store /)
  expect(answer).toContain(path)
  expect(answer).toMatch(what)
  expect([path, `${path}-wal`].map(bytesOf)).toEqual(before)
})

test.each<{ name: string; tasks: number; hurt: () => void }>([
  { name: 'the tail of a transaction that nobody acknowledged', tasks: 40, hurt: () => appendTorn() },
  { name: 'an older mark, as a power cut leaves it', tasks: 40, hurt: () => writeMark(12) },
  { name: 'a mark that a power cut emptied', tasks: 40, hurt: () => writeFileSync(`${path}.mark`, '') },
  {
    name: 'an older copy whose mark a person deleted',
    tasks: 10,
    hurt: () => {
      olderCopy()
      rmSync(`${path}.mark`)
    },
  },
  {
    name: 'nothing, after a person moved all files away',
    tasks: 0,
    hurt: () => rmSync(join(folder, 'killed'), { recursive: true }),
  },
  { name: 'a half-made store of an earlier start', tasks: 40, hurt: () => writeFileSync(`${path}.new`, 'half') },
])('$name opens', ({ hurt, tasks }) => {
  hurt()
  expect(opened()).toBe(tasks)
})

function olderCopy(): void {
  rmSync(`${path}-wal`)
  copyFileSync(join(folder, 'older.db'), path)
}

function corrupt(bytes: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, 2 * 4_096), Buffer.alloc(bytes.length - 2 * 4_096, 0x5a)])
}

function cutLog(frames: number): void {
  truncateSync(`${path}-wal`, readFileSync(`${path}-wal`).length - frames * frameBytes)
}

/** Frames of this generation, the last one a commit, none of which checks. */
function appendTorn(): void {
  const log = readFileSync(`${path}-wal`)
  const torn = Buffer.from(log.subarray(log.length - 2 * frameBytes))
  writeFileSync(`${path}-wal`, Buffer.concat([log, torn]))
}

function writeMark(commits: number): void {
  const [storeId] = readFileSync(`${path}.mark`, 'utf8').split(' ')
  writeFileSync(`${path}.mark`, `${storeId} ${commits} 0`)
}

/** SQLite leaves an empty log where it found none. */
function bytesOf(file: string): string {
  return createHash('sha256')
    .update(existsSync(file) ? readFileSync(file) : '')
    .digest('hex')
}
