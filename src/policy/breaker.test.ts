import { describe, expect, test } from 'vitest'
import { dependencySpec } from '../../test/fixtures/specs.ts'
import type { DependencyRow } from '../model/rows.ts'
import {
  answeredWhileOpen,
  askSoon,
  isDoubtful,
  isDown,
  isFlapping,
  isReplicasOwnFault,
  judgeDependency,
  newDependency,
  opened,
  overdueAtMs,
  saw,
  triedWhileOpen,
  withoutWitness,
} from './breaker.ts'
import { decideDependency } from './dependency.ts'

type Call = readonly [replica: number, ok: boolean, atMs: number, task?: string]

const spec = dependencySpec()
const fresh = newDependency(spec, 0)
const seen = (calls: readonly Call[], row: DependencyRow = fresh): DependencyRow =>
  calls.reduce((so, [replica, ok, atMs, task = `t${atMs}`]) => {
    return saw(so, { replica: `p/${replica}`, taskId: task, ok, atMs, begunMs: 0 })
  }, row)
const checked = (row: DependencyRow, ok: boolean, atMs = 0): DependencyRow => ({
  ...row,
  last: { result: ok ? { ok } : { ok, reason: 'refused' }, latencyMs: 1, atMs },
})

/** A hundred calls got through until 0; then so many fail, of two replicas in turn, the last at `lastMs`. */
const fallen = (count: number, lastMs: number): readonly Call[] => [
  ...Array.from({ length: 100 }, (_, at): Call => [at % 4, true, at - 99]),
  ...Array.from({ length: count }, (_, at): Call => [at % 2, false, at === count - 1 ? lastMs : 100 + at]),
]

describe('is the dependency down', () => {
  test.each<{ name: string; row: DependencyRow; nowMs: number; kind: string }>([
    { name: 'nothing was seen', row: fresh, nowMs: 0, kind: 'up' },
    { name: 'one replica fails: suspect', row: seen([[0, false, 1]]), nowMs: 2, kind: 'suspect' },
    {
      name: 'one replica fails ten times: still only suspect',
      row: seen(Array.from({ length: 10 }, (_, at): Call => [0, false, at])),
      nowMs: 11,
      kind: 'suspect',
    },
    {
      name: 'two replicas fail and none succeeds: two failures are enough',
      row: seen([
        [0, false, 1],
        [1, false, 2],
      ]),
      nowMs: 3,
      kind: 'down',
    },
    {
      name: 'with one success beside them, two are not',
      row: seen([
        [2, true, 0],
        [0, false, 1],
        [1, false, 2],
      ]),
      nowMs: 3,
      kind: 'suspect',
    },
    {
      name: 'three of four calls failed',
      row: seen([
        [2, true, 0],
        [0, false, 1],
        [1, false, 2],
        [0, false, 3],
      ]),
      nowMs: 4,
      kind: 'down',
    },
    {
      name: 'half of the calls: not more than half',
      row: seen([
        [2, true, 0],
        [3, true, 1],
        [4, true, 1],
        [0, false, 1],
        [1, false, 2],
        [0, false, 3],
      ]),
      nowMs: 4,
      kind: 'suspect',
    },
    {
      name: 'the older half of the window has dropped out',
      row: seen([
        [0, false, 1],
        [1, false, 9_000],
      ]),
      nowMs: 10_000,
      kind: 'suspect',
    },
    {
      name: 'one ms before it counts',
      row: seen([
        [0, false, 1],
        [1, false, 9_000],
      ]),
      nowMs: 9_999,
      kind: 'down',
    },
    { name: 'ten in a row for a second, after any success', row: seen(fallen(10, 1_100)), nowMs: 1_100, kind: 'down' },
    { name: 'nine in a row', row: seen(fallen(9, 1_100)), nowMs: 1_100, kind: 'suspect' },
    { name: 'ten in a row for less than a second', row: seen(fallen(10, 1_099)), nowMs: 1_099, kind: 'suspect' },
    {
      name: 'ten, and another replica got through in between',
      row: seen([...fallen(9, 500), [3, true, 700], [0, false, 1_100]]),
      nowMs: 1_100,
      kind: 'suspect',
    },
    {
      name: 'ten in a row of one replica: it accuses itself',
      row: seen(fallen(10, 1_100).map(([replica, ok, atMs]): Call => [ok ? replica : 0, ok, atMs])),
      nowMs: 1_100,
      kind: 'suspect',
    },
    { name: 'one replica and the own check', row: checked(seen([[0, false, 1]]), false), nowMs: 2, kind: 'down' },
    { name: 'one failed check alone: suspect', row: checked(fresh, false), nowMs: 2, kind: 'suspect' },
    {
      name: 'as many as the threshold: down',
      row: { ...checked(fresh, false), check: { ...fresh.check, verdict: 'failed', failures: 3 } },
      nowMs: 2,
      kind: 'down',
    },
    {
      name: 'a replica that got through since accuses nobody',
      row: seen([
        [0, false, 1],
        [1, false, 2],
        [0, true, 3],
        [1, true, 4],
      ]),
      nowMs: 5,
      kind: 'up',
    },
  ])('$name', ({ row, nowMs, kind }) => {
    expect(judgeDependency(row, nowMs).kind).toBe(kind)
  })
})

describe('a suspect is asked', () => {
  const later = { ...fresh, check: { ...fresh.check, nextAtMs: 60_000 } }
  test.each([
    { name: 'at once, when it never was', row: later, nowMs: 5_000, nextMs: 5_000 },
    { name: 'at once, long after its last answer', row: checked(later, true, 1_000), nowMs: 5_000, nextMs: 5_000 },
    { name: 'a second after that at most', row: checked(later, true, 4_500), nowMs: 5_000, nextMs: 5_500 },
    {
      name: 'every five seconds once it has answered',
      row: { ...checked(later, true, 4_500), suspectMs: 4_400 },
      nowMs: 5_000,
      nextMs: 9_500,
    },
    {
      name: 'every five seconds or less after an outage of late',
      row: { ...checked(later, true, 4_500), openedMs: [1] },
      nowMs: 5_000,
      nextMs: 9_500,
    },
  ])('$name', ({ row, nowMs, nextMs }) => expect(askSoon(row, nowMs).check.nextAtMs).toBe(nextMs))
})

describe('the replica alone', () => {
  const failing: readonly Call[] = [
    [0, false, 10, 'a'],
    [0, false, 20, 'b'],
    [0, false, 30, 'b'],
  ]
  test.each<{ name: string; row: DependencyRow; is: boolean }>([
    {
      name: 'three failures on two tasks, a sibling and the check got through since',
      row: checked(seen([...failing, [1, true, 15]]), true, 11),
      is: true,
    },
    { name: 'the check has said nothing yet', row: seen([...failing, [1, true, 15]]), is: false },
    {
      name: 'the check passed before only: siblings may live on connections that they still have',
      row: checked(seen([...failing, [1, true, 15]]), true, 10),
      is: false,
    },
    {
      name: 'in the very moment of the first',
      row: checked(seen([...failing, [1, true, 10]]), true, 40),
      is: true,
    },
    { name: 'a sibling got through before only', row: seen([[1, true, 9], ...failing]), is: false },
    { name: 'nobody else was there to tell', row: seen(failing), is: false },
    {
      name: 'two failures are not enough',
      row: checked(seen([...failing.slice(0, 2), [1, true, 15]]), true, 40),
      is: false,
    },
    {
      name: 'one task alone may be the cause',
      row: checked(
        seen([...failing.map(([replica, ok, at]): Call => [replica, ok, at, 'a']), [1, true, 15]]),
        true,
        40,
      ),
      is: false,
    },
    { name: "the node's own check fails too", row: checked(seen([...failing, [1, true, 15]]), false, 40), is: false },
    {
      name: 'it got through since',
      row: checked(seen([...failing, [1, true, 15], [0, true, 40]]), true, 40),
      is: false,
    },
    { name: 'the check passed since, and no sibling uses it', row: checked(seen(failing), true, 40), is: true },
    {
      name: 'the check passed since, but a sibling that used it just before was not heard yet',
      row: checked(seen([[1, true, 9], ...failing]), true, 40),
      is: false,
    },
    {
      name: 'one window later the sibling has had its say',
      row: checked(seen([[1, true, 9], ...failing, [0, false, 10_010, 'c']]), true, 10_020),
      is: true,
    },
    {
      name: 'one ms earlier it has not',
      row: checked(seen([[1, true, 9], ...failing, [0, false, 10_009, 'c']]), true, 10_020),
      is: false,
    },
    {
      name: 'the check called it well while calls failed of late: it is no witness',
      row: { ...checked(seen(failing), true, 40), openedMs: [5] },
      is: false,
    },
    {
      name: 'its witness was forgotten',
      row: checked(withoutWitness(seen([...failing, [1, true, 15]]), 'p/0'), true, 40),
      is: false,
    },
  ])('$name', ({ row, is }) => {
    expect(isReplicasOwnFault(row, 'p/0')).toBe(is)
  })

  test.each<{ name: string; row: DependencyRow; nowMs: number; is: boolean }>([
    { name: 'fails for the third time', row: seen(failing), nowMs: 30, is: true },
    { name: 'within a second of its last failure', row: seen(failing), nowMs: 1_029, is: true },
    { name: 'a second later it may try', row: seen(failing), nowMs: 1_030, is: false },
    { name: 'twice is no doubt yet', row: seen(failing.slice(0, 2)), nowMs: 30, is: false },
    { name: 'got through since', row: seen([...failing, [0, true, 40]]), nowMs: 50, is: false },
    { name: 'another one fails', row: seen([[1, false, 1]]), nowMs: 30, is: false },
    { name: 'it is down: that is the answer', row: opened(seen(failing), 'refused', 30), nowMs: 40, is: false },
  ])('is in doubt: $name', ({ row, nowMs, is }) => {
    expect(isDoubtful(row, 'p/0', nowMs)).toBe(is)
  })
})

describe('a check that is asked as the second witness', () => {
  const asked = (row: DependencyRow, atMs: number): DependencyRow => ({
    ...row,
    check: { ...row.check, asked: { id: 1, timeoutAtMs: atMs + row.spec.probe.timeoutMs } },
  })
  const both = seen([
    ...Array.from({ length: 20 }, (_, at): Call => [at % 2, true, at]),
    [0, false, 4_000],
    [1, false, 4_001],
  ])
  const slow = (latencyMs: number): DependencyRow => ({ ...both, last: { result: { ok: true }, latencyMs, atMs: 5 } })
  test.each<{ name: string; row: DependencyRow; nowMs: number; is: number }>([
    { name: 'is overdue after a second', row: asked(both, 4_000), nowMs: 4_001, is: 5_000 },
    { name: 'or after five times as long as it took', row: asked(slow(201), 4_000), nowMs: 4_001, is: 5_005 },
    { name: 'not less than a second', row: asked(slow(199), 4_000), nowMs: 4_001, is: 5_000 },
    { name: 'was not asked', row: both, nowMs: 9_000, is: Number.POSITIVE_INFINITY },
    {
      name: 'one replica alone fails',
      row: asked(seen([[0, false, 1]]), 1),
      nowMs: 9_000,
      is: Number.POSITIVE_INFINITY,
    },
    { name: 'they failed a window ago', row: asked(both, 4_000), nowMs: 14_000, is: Number.POSITIVE_INFINITY },
    {
      name: 'it is down already',
      row: opened(asked(both, 4_000), 'x', 4_500),
      nowMs: 5_000,
      is: Number.POSITIVE_INFINITY,
    },
  ])('$name', ({ row, nowMs, is }) => {
    expect(overdueAtMs(row, nowMs)).toBe(is)
  })

  test('then it is down, though most calls of the window succeeded; a moment earlier, or while we lag, it is not', () => {
    const row = asked(both, 4_000)
    const at = (nowMs: number, lagMs = 0) =>
      decideDependency({ nowMs, row, incidents: new Map(), poolNames: ['p'] }, lagMs)
    expect(judgeDependency(row, 5_000).kind).toBe('suspect')
    expect(at(4_999)).toEqual({ outcome: null, wakeAtMs: 5_000 })
    expect(at(5_000, 1)).toEqual({ outcome: null, wakeAtMs: 5_001 })
    const decided = at(5_000)
    expect(decided).toMatchObject({ turn: 'opened', outcome: { incidents: [{ fault: { culprit: 'dependency' } }] } })
    expect(decided.outcome?.incidents[0]?.verdict?.because).toBe(
      "2 replicas failed on it (p/0, p/1), and the node's own check has had no answer for 1.0 s",
    )
  })
})

describe('an open breaker', () => {
  const open = opened(seen([[0, false, 500]]), 'refused', 1_000)

  test('remembers the first sign, and is asked again within its interval', () => {
    expect(open.breaker).toMatchObject({ kind: 'open', sinceMs: 1_000, firstSignMs: 500 })
    expect(open.check.nextAtMs).toBeLessThanOrEqual(1_000 + spec.breaker.probeMs)
  })

  test.each([
    { name: 'was not asked yet', last: null, dueMs: 100_000, nextMs: 6_000 },
    { name: 'is due before', last: null, dueMs: 2_000, nextMs: 2_000 },
    { name: 'was asked as a suspect just now', last: 900, dueMs: 1_900, nextMs: 5_900 },
    { name: 'was asked long ago', last: -60_000, dueMs: 1_900, nextMs: 1_900 },
  ])('that $name is asked at $nextMs', ({ last, dueMs, nextMs }) => {
    const row = { ...(last === null ? fresh : checked(fresh, true, last)), check: { ...fresh.check, nextAtMs: dueMs } }
    expect(opened(row, 'refused', 1_000).check.nextAtMs).toBe(nextMs)
  })

  test('closes at the first success, forgets its witnesses, and thaws', () => {
    const closed = answeredWhileOpen(open, true, 6_000)
    expect(closed.breaker).toEqual({ kind: 'closed', sinceMs: 6_000, thawedMs: 6_000 })
    expect(closed.witnesses).toEqual({})
    expect(closed.stableMs).toBe(6_000 + spec.breaker.stableMs)
  })

  test('stays open at a failure, and is asked every five seconds', () => {
    const still = answeredWhileOpen(open, false, 6_000)
    expect(isDown(still)).toBe(true)
    expect(still.check.nextAtMs).toBe(11_000)
  })

  describe('whose check never saw the fault', () => {
    const trial = (row: DependencyRow, ok: boolean, atMs: number, begunMs = atMs) =>
      triedWhileOpen(row, { replica: 'p/0', taskId: 't', ok, atMs, begunMs })
    const passes = (row: DependencyRow, atMs: number, canTry = true) => answeredWhileOpen(row, true, atMs, canTry)
    const half = passes(open, 6_000)
    const stableMs = 6_000 + spec.breaker.stableMs

    test.each([
      { name: 'it passes: a task may try', row: half, kind: 'half_open' },
      { name: 'it passes, and no task could try', row: passes(open, 6_000, false), kind: 'closed' },
      { name: 'its answer is older than what opened it', row: passes(open, 1_000), kind: 'open' },
      { name: 'a task gets through', row: trial(half, true, 7_000), kind: 'closed' },
      { name: 'a task fails', row: trial(half, false, 7_000), kind: 'open' },
      {
        name: 'and gets through before the next answer',
        row: trial(trial(half, false, 7_000), true, 8_000),
        kind: 'open',
      },
      { name: 'one that began before gets through', row: trial(half, true, 7_000, 999), kind: 'half_open' },
      { name: 'one that began as it was opened does', row: trial(half, true, 7_000, 1_000), kind: 'closed' },
      { name: 'one that began before fails', row: trial(half, false, 7_000, 999), kind: 'half_open' },
      { name: 'it fails after all: it is a witness', row: answeredWhileOpen(half, false, 11_000), kind: 'open' },
      { name: 'then it decides', row: passes(answeredWhileOpen(half, false, 11_000), 16_000), kind: 'closed' },
      {
        name: 'then no task does',
        row: trial({ ...half, breaker: { ...half.breaker, isSeen: true } as DependencyRow['breaker'] }, true, 7_000),
        kind: 'half_open',
      },
      { name: 'no task has anything to say, for long', row: passes(half, stableMs), kind: 'closed' },
      { name: 'for not long enough', row: passes(half, stableMs - 1), kind: 'half_open' },
      { name: 'one that fails begins it anew', row: passes(trial(half, false, 7_000), stableMs), kind: 'half_open' },
    ])('$name: $kind', ({ row, kind }) => expect(row.breaker.kind).toBe(kind))

    test('two must get through when it flaps', () => {
      const again = passes(opened(trial(half, true, 7_000), 'refused', 30_000), 40_000)
      const once = trial(again, true, 41_000)
      expect([once, trial(once, true, 42_000)].map(({ breaker }) => breaker.kind)).toEqual(['half_open', 'closed'])
    })

    test('its failure at the beginning makes it a witness', () => {
      expect(opened(checked(fresh, false), 'refused', 1_000).breaker).toMatchObject({ isSeen: true })
      expect(passes(opened(checked(fresh, false), 'refused', 1_000), 6_000).breaker.kind).toBe('closed')
    })
  })

  test('that flaps needs two successes, is asked more rarely, and its incident stays for the whole time', () => {
    const again = opened(answeredWhileOpen(open, true, 6_000), 'refused', 30_000)
    expect(isFlapping(again, 30_000)).toBe(true)
    const half = answeredWhileOpen(again, true, 40_000)
    expect(half.breaker.kind).toBe('half_open')
    expect(half.check.nextAtMs).toBe(40_000 + 1.5 * spec.breaker.probeMs)
    expect(answeredWhileOpen(half, false, 45_000).breaker.kind).toBe('open')
    expect(answeredWhileOpen(half, true, 45_000).stableMs).toBe(45_000 + spec.breaker.flapMs)
  })

  test.each([
    { name: 'inside the time', secondMs: 1_000 + spec.breaker.flapMs - 1, is: true },
    { name: 'as old as the time', secondMs: 1_000 + spec.breaker.flapMs, is: false },
  ])('two openings are flapping $name', ({ secondMs, is }) => {
    expect(isFlapping(opened(open, 'refused', secondMs), secondMs)).toBe(is)
  })
})
