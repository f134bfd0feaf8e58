import { DatabaseSync } from 'node:sqlite'
import { beforeEach, describe, expect, test } from 'vitest'
import { migrate, migrations, userVersion } from './schema.ts'
import { claimCandidates, claimUpdate } from './tasks.ts'

let db: DatabaseSync

beforeEach(() => {
  db = new DatabaseSync(':memory:')
})

describe('migrations', () => {
  test('lead from nothing to the newest version, and a second time change nothing', () => {
    migrate(db)
    expect(userVersion(db)).toBe(migrations.length)
    const tables = db.prepare(`SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`).all()
    expect(tables.map(({ name }) => name)).toEqual([
      'audit',
      'incident',
      'meta',
      'pool',
      'replica',
      'sqlite_sequence',
      'step',
      'task',
    ])
    migrate(db)
    expect(userVersion(db)).toBe(migrations.length)
  })

  test('go on from any version', () => {
    const list = [['CREATE TABLE a (x)'], ['CREATE TABLE b (x)', 'INSERT INTO b VALUES (1)']]
    migrate(db, list.slice(0, 1))
    migrate(db, list)
    expect(userVersion(db)).toBe(2)
    expect(db.prepare('SELECT x FROM b').all()).toEqual([{ x: 1 }])
  })

  test('one that fails leaves the version before it, whole', () => {
    const list = [['CREATE TABLE a (x)'], ['CREATE TABLE b (x)', 'INSERT INTO nowhere VALUES (1)']]
    expect(() => migrate(db, list)).toThrow('nowhere')
    expect(userVersion(db)).toBe(1)
    expect(() => db.prepare('SELECT x FROM b')).toThrow('no such table')
  })
})

describe('the plan of a claim', () => {
  beforeEach(() => {
    migrate(db)
    const add = db.prepare(
      `INSERT INTO task (id, pool, status, priority, submitted_ms, finished_ms, input)
      SELECT ? || value, ?, ?, value % 3, 0, ?, 'null' FROM generate_series(1, ?)`.replace(
        'generate_series(1, ?)',
        '(WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?) SELECT value FROM n)',
      ),
    )
    add.run('done', 'p', 'done', 1, 100_000)
    add.run('foreign', 'q', 'queued', null, 50_000)
    add.run('own', 'p', 'queued', null, 500)
  })

  test.each([
    { name: 'candidates', sql: claimCandidates },
    { name: 'update', sql: claimUpdate },
  ])('$name: one search of the claim index, nothing sorted, nothing scanned', ({ sql }) => {
    const plan = db
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map(({ detail }) => String(detail))
    expect(plan.filter((line) => line.includes('task_claim'))).toEqual([
      expect.stringMatching(/^SEARCH task USING( COVERING)? INDEX task_claim \(pool=\? AND suspect=\?\)$/),
    ])
    expect(plan.filter((line) => line.startsWith('SCAN task') || line.includes('TEMP B-TREE FOR ORDER'))).toEqual([])
  })

  test('beside 100,000 finished and 50,000 foreign rows a claim reads its own', () => {
    const claim = db.prepare(claimUpdate)
    const given = ['p/0', 1, 0, 0, 'p', 0, 'p/0', 0, 1, 100] as const
    expect(claim.all(...given)).toHaveLength(100)
    const startMs = performance.now()
    expect(claim.all(...given)).toHaveLength(100)
    // Two milliseconds here; a walk over the table takes more than thirty.
    expect(performance.now() - startMs).toBeLessThan(20)
  })
})
