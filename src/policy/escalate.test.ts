import { describe, expect, test } from 'vitest'
import { recovery } from '../../test/fixtures/specs.ts'
import type { Strike } from '../model/change.ts'
import { escalate, recentStrikes } from './escalate.ts'

const soft = (atMs: number): Strike => ({ atMs, incidentId: 'i', minSlot: 0, taskId: null, dependency: null })
const hard = (atMs: number): Strike => ({ atMs, incidentId: 'i', minSlot: 2, taskId: null, dependency: null })
const at = (atMs: number, needsHard = false) => ({ atMs, incidentId: 'i', taskId: null, dependency: null, needsHard })

describe('the ladder', () => {
  test.each([
    { name: 'first strike: soft', strikes: [], fault: at(1_000), rung: 'soft_restart' },
    { name: 'second strike: still soft', strikes: [soft(1)], fault: at(1_000), rung: 'soft_restart' },
    { name: 'third strike: hard', strikes: [soft(1), soft(2)], fault: at(1_000), rung: 'hard_restart' },
    { name: 'fifth strike: still hard', strikes: [1, 2, 3, 4].map(soft), fault: at(1_000), rung: 'hard_restart' },
    { name: 'sixth strike: quarantine', strikes: [1, 2, 3, 4, 5].map(soft), fault: at(1_000), rung: 'quarantine' },
    { name: 'a crash starts at hard', strikes: [], fault: at(1_000, true), rung: 'hard_restart' },
    { name: 'the third crash is still hard', strikes: [1, 2].map(hard), fault: at(1_000, true), rung: 'hard_restart' },
    {
      name: 'the fourth crash is quarantine',
      strikes: [1, 2, 3].map(hard),
      fault: at(1_000, true),
      rung: 'quarantine',
    },
    {
      name: 'after a crash a stall does not fall back to soft',
      strikes: [hard(1)],
      fault: at(1_000),
      rung: 'hard_restart',
    },
    {
      name: 'a strike as old as the period is gone',
      strikes: [soft(-599_000), soft(1)],
      fault: at(1_000),
      rung: 'soft_restart',
    },
    { name: 'one ms younger still counts', strikes: [soft(-598_999), soft(1)], fault: at(1_000), rung: 'hard_restart' },
  ])('$name', ({ strikes, fault, rung }) => {
    expect(escalate(strikes, fault, recovery).rung).toBe(rung)
  })

  test('a whole walk: soft, soft, hard, hard, hard, quarantine', () => {
    let strikes: readonly Strike[] = []
    const walk = [1, 2, 3, 4, 5, 6].map((atMs) => {
      const step = escalate(strikes, at(atMs), recovery)
      strikes = step.strikes
      return step.rung
    })
    expect(walk).toEqual(['soft_restart', 'soft_restart', 'hard_restart', 'hard_restart', 'hard_restart', 'quarantine'])
  })

  test('strikes age out and nothing else removes them', () => {
    expect(recentStrikes([soft(0), soft(1)], 600_000, recovery)).toEqual([soft(1)])
  })
})
