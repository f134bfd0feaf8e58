import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { Incident } from '../../src/model/incident.ts'
import { agentFixture, removeTestFolders, type TestNode, testNode } from '../node.ts'
import { until } from '../until.ts'

let running: TestNode | null = null

async function start(agent: string, more: object = {}): Promise<TestNode> {
  running = await testNode({ pools: { p: { agent: agentFixture(agent), replicas: { min: 2, max: 2 }, ...more } } })
  await running.ready(2)
  return running
}

async function incidents({ door }: TestNode): Promise<readonly Incident[]> {
  return (await door.incidents({ limit: 50 })).rows
}

const kinds = (of: readonly Incident[]) => of.flatMap(({ actions }) => actions.map(({ kind }) => kind))

afterEach(async () => {
  await running?.stop()
  running = null
})
afterAll(removeTestFolders)

/** Calls allowed before the loop must be acted on: faults.md, scoreboard, rows 15 to 17. */
const loops = [
  { form: 'identical', within: 8 },
  { form: 'alternating', within: 24 },
  { form: 'period3', within: 24 },
  { form: 'period7', within: 28 },
  { form: 'same_error', within: 20 },
  { form: 'growing', within: 20 },
  { form: 'digits', within: 20 },
] as const

describe('a model that goes in circles', () => {
  test.each(loops)('$form: one that listens is mended by the hint alone', async ({ form, within }) => {
    const node = await start('looper.ts')
    const task = await node.settled(await node.submit('p', { form, heeds: true }))
    expect(task).toMatchObject({ status: 'done', output: { attempt: 1 } })
    const { calls, nudges } = task.output as { readonly calls: number; readonly nudges: readonly string[] }
    expect(calls).toBeLessThanOrEqual(within)
    expect(nudges[0]).toContain('going in circles')
    const [incident, ...others] = await incidents(node)
    expect(others).toEqual([])
    expect(incident).toMatchObject({ fault: { kind: 'tool_loop', culprit: 'agent' }, status: 'probation' })
    expect(incident?.actions.map(({ kind, status, strike }) => [kind, status, strike])).toEqual([['nudge', 'done', 0]])
    expect(incident?.fault.evidence.length).toBeGreaterThan(0)
  })

  test.each(loops)(
    '$form: one that does not is soft-restarted and goes on from its journal',
    async ({ form, within }) => {
      const node = await start('looper.ts')
      const { door } = node
      const before = door.replicas().map(({ pid }) => pid)
      const task = await node.settled(await node.submit('p', { form, heeds: false }))
      // The second attempt knows what not to do, and its finished steps were not run again.
      expect(task).toMatchObject({ status: 'done', output: { attempt: 2, calls: 0, prepared: 0 } })
      expect((task.output as { readonly known: readonly string[] }).known.length).toBeGreaterThan(0)
      expect(task.attempts.map(({ outcome, counted }) => [outcome, counted])).toEqual([
        ['tool_loop', true],
        ['done', true],
      ])
      expect(kinds(await incidents(node))).toEqual(['nudge', 'soft_restart'])
      expect(door.replicas().map(({ pid }) => pid)).toEqual(before)
      const lines = door.replicas().flatMap(({ name }) => door.logs(name).map(({ text }) => text))
      const calls = lines.filter((text) => text.includes('of attempt 1')).length
      // One more may have begun while the verdict was on its way.
      expect(calls).toBeGreaterThan(2)
      expect(calls).toBeLessThanOrEqual(within + 1)
    },
  )

  test('the same task looping on every attempt uses up its attempts, and quarantines nobody', async () => {
    const node = await start('looper.ts')
    const task = await node.settled(await node.submit('p', { form: 'identical', heeds: false, learns: false }))
    expect(task).toMatchObject({ status: 'failed' })
    expect(task.attempts.map(({ outcome }) => outcome)).toEqual(['tool_loop', 'tool_loop', 'tool_loop'])
    expect(node.door.replicas().filter(({ phase }) => phase === 'quarantined')).toEqual([])
    const found = await incidents(node)
    expect(found.some(({ fault }) => fault.culprit === 'task')).toBe(true)
  })

  test('a pool that only observes records the same verdicts and touches nothing', async () => {
    const node = await start('looper.ts', { recovery: { mode: 'observe' } })
    const task = await node.settled(await node.submit('p', { form: 'identical', heeds: false }))
    expect(task).toMatchObject({ status: 'done', output: { attempt: 1, calls: 60, nudges: [] } })
    const actions = (await incidents(node)).flatMap((incident) => incident.actions)
    expect(actions.map(({ kind, status }) => [kind, status]).toReversed()).toEqual([
      ['nudge', 'observed'],
      ['soft_restart', 'observed'],
    ])
  })
})

describe('a context that fills up', () => {
  test('is mended by a compaction that shrinks it', async () => {
    const node = await start('overflowing.ts')
    const task = await node.settled(await node.submit('p', { starts: 5_000, leaves: 0.3 }))
    expect(task).toMatchObject({ status: 'done', output: { attempt: 1 } })
    expect((task.output as { readonly compactions: number }).compactions).toBeGreaterThanOrEqual(1)
    expect(kinds(await incidents(node))).toContain('compact')
    expect(kinds(await incidents(node))).not.toContain('soft_restart')
  })

  test.each([
    { name: 'one that does not shrink it', leaves: 0.95 },
    { name: 'one that fails', leaves: null },
  ])('goes to a soft restart after $name', async ({ leaves }) => {
    const node = await start('overflowing.ts')
    const task = await node.settled(await node.submit('p', { starts: 5_000, leaves }))
    expect(task).toMatchObject({ status: 'done', output: { attempt: 2 } })
    expect(task.attempts.map(({ outcome }) => outcome)).toEqual(['context_overflow', 'done'])
    expect(kinds(await incidents(node)).toSorted()).toEqual(['compact', 'soft_restart'])
  })

  test('buries a task whose first prompt does not fit', async () => {
    const node = await start('overflowing.ts')
    const id = await node.submit('p', { starts: 5_000, leaves: 0.5, refused: true })
    const task = await node.settled(id)
    expect(task).toMatchObject({ status: 'dead_letter' })
    expect(task.reason).toMatch(/^context: /)
    const settled = await until(async () => (await incidents(node)).find(({ taskId }) => taskId === id), {
      timeoutMs: 5_000,
      what: 'its incident',
    })
    expect(settled).toMatchObject({ fault: { kind: 'context_overflow', culprit: 'task' } })
  })
})
