import { afterAll, expect, test } from 'vitest'
import { agentFixture, removeTestFolders, testNode } from '../node.ts'
import { until } from '../until.ts'

afterAll(removeTestFolders)

test('a leaking replica is drained and replaced before its limit, and no task is interrupted', async () => {
  const node = await testNode({
    pools: { p: { agent: agentFixture('leaky.ts'), replicas: { min: 2, max: 2 }, limits: { memory: '640Mi' } } },
  })
  const { door } = node
  try {
    await node.ready(2)
    const first = door.replicas().map(({ pid }) => pid)
    const ids: string[] = []
    // Read every two seconds, five times before anything is said of its growth.
    const replaced = async (): Promise<boolean> => {
      if (door.pools().every(({ depth }) => depth.queued === 0)) ids.push(await node.submit('p', { mebibytes: 20 }))
      return door.replicas().some(({ pid }) => pid !== null && !first.includes(pid))
    }
    await until(replaced, { timeoutMs: 90_000, what: 'a replica with another process' })
    const tasks = await Promise.all(ids.map((id) => node.settled(id)))
    expect(tasks.flatMap(({ attempts }) => attempts.map(({ outcome }) => outcome))).toEqual(tasks.map(() => 'done'))
    const { rows } = await door.incidents({ limit: 10 })
    expect(rows.map(({ fault }) => fault.kind)).toContain('leaking')
    expect(rows.every(({ fault }) => fault.kind === 'leaking')).toBe(true)
    expect(rows[0]?.actions.map(({ kind }) => kind)).toEqual(['hard_restart'])
  } finally {
    await node.stop()
  }
}, 120_000)
