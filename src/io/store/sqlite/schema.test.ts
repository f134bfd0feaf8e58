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
      'dependency',
      'incident',
      'meta',
      'outbox',
      'outbox_dropped',
      'pool',
      'replica',
      'sqlite_sequence',
      'step',
      'task',
      'told',
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
    const add = db.prepare(`INSERT INTO task (id, pool, status, priority, submitted_ms, finished_ms, input)
      WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?)
      SELECT ? || value, ?, ?, value % 3, 0, ?, 'null' FROM n`)
    add.run(100_000, 'done', 'p', 'done', 1)
    add.run(50_000, 'foreign', 'q', 'queued', null)
    add.run(500, 'own', 'p', 'queued', null)
  })

  test.each([
    { name: 'candidates', sql: claimCandidates, statistics: false },
    { name: 'update', sql: claimUpdate, statistics: false },
    { name: 'candidates, with statistics', sql: claimCandidates, statistics: true },
    { name: 'update, with statistics', sql: claimUpdate, statistics: true },
  ])('beside 100,000 finished and 50,000 foreign rows it reads its own only: $name', ({ sql, statistics }) => {
    if (statistics) db.exec('ANALYZE')
    const plan = db
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map(({ detail }) => String(detail))
    expect(plan.filter((line) => line.includes('task_claim'))).toEqual([
      expect.stringMatching(/^SEARCH task USING( COVERING)? INDEX task_claim \(pool=\? AND suspect=\?\)$/),
    ])
    expect(plan.filter((line) => line.startsWith('SCAN task') || line.includes('ORDER BY'))).toEqual([])
  })
})
