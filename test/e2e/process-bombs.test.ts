import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import {
  carriers,
  closeHosts,
  type Harness,
  isRoot,
  leaseOf,
  measured,
  poolSpec,
  startHost,
  terminate,
} from '../process-harness.ts'
import { until } from '../until.ts'

afterEach(closeHosts)

const hasCgroup = isRoot && readFileSync('/proc/self/cgroup', 'utf8').includes(':pids:')
const processLimit = 128

/** A pool that goes wrong and one beside it. */
async function pair(): Promise<Harness> {
  const on = startHost([poolSpec('echo', { processLimit }), poolSpec('echo', { name: 'neighbour' })])
  on.spawn()
  await on.see('spawned')
  on.apply({ kind: 'spawn', replica: 'neighbour/0', incarnation: 1, pool: 'neighbour' })
  await until(() => on.observations.filter(({ kind }) => kind === 'ready').length === 2, {
    timeoutMs: 10_000,
    what: 'two ready replicas',
  })
  return on
}

/** The neighbour does a task. */
async function neighbourWorks(on: Harness, taskId: string): Promise<void> {
  const lease = leaseOf('neighbour', taskId, 1, 1)
  on.apply({ kind: 'dispatch', replica: 'neighbour/0', incarnation: 1, lease, leaseMs: 10_000 })
  await until(() => on.observations.some((seen) => seen.kind === 'done' && seen.taskId === taskId), {
    timeoutMs: 5_000,
    what: 'the neighbour’s task',
  })
}

describe('S06: a replica that takes without end', () => {
  test.skipIf(!hasCgroup)(
    'processes (skipped without a cgroup we may write): stopped at its limit, and nothing is left',
    async () => {
      const on = await pair()
      expect(on.host.blindSpots).toEqual([])
      const { pid } = await on.see('spawned')
      // Not before the limit holds: this machine has others on it.
      const folder = `/sys/fs/cgroup/pids${/:pids:(.*)/.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1]}`
      expect(readFileSync(`${folder}/pids.max`, 'utf8').trim()).toBe(String(processLimit))
      const refused = (): number => Number(/max (\d+)/.exec(readFileSync(`${folder}/pids.events`, 'utf8'))?.[1])
      const { gapMs } = await measured(async () => {
        on.dispatch('bomb', { do: 'fork_bomb' })
        await until(() => refused() > 0, { timeoutMs: 5_000, what: 'a fork to be refused' })
        await neighbourWorks(on, 'beside')
      })
      expect(gapMs).toBeLessThan(250)
      expect(readFileSync(`${folder}/tasks`, 'utf8').trim().split('\n').length).toBeLessThanOrEqual(processLimit)
      on.apply(terminate(0))
      await until(() => carriers(`${on.storeId}.`).length === 1, {
        timeoutMs: 3_000,
        what: 'only the neighbour to be left',
      })
      await until(() => !existsSync(folder), { timeoutMs: 3_000, what: 'its group to be gone' })
      await neighbourWorks(on, 'after')
    },
  )

  test.skipIf(!hasCgroup)(
    'the processor (skipped without a cgroup we may write): all replicas together weigh as many as they are',
    async () => {
      const on = await pair()
      expect(on.host.blindSpots).toEqual([])
      const { pid } = await on.see('spawned')
      const own = /^\d+:(?:.*,)?cpu(?:,.*)?:(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1]
      const folder = dirname(`/sys/fs/cgroup/cpu${own}`)
      const weighsItsGroups = (): boolean => {
        const groups = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
        return Number(readFileSync(`${folder}/cpu.shares`, 'utf8')) === 1_024 * Math.max(1, groups.length)
      }
      expect(weighsItsGroups()).toBe(true)
      on.apply(terminate(0))
      await until(() => carriers(`${on.storeId}.`).length === 1 && weighsItsGroups(), {
        timeoutMs: 3_000,
        what: 'the weight of the neighbour alone',
      })
    },
  )

  test('files: it is refused by its own limit, and says so; nobody else notices', async () => {
    const on = await pair()
    on.dispatch('bomb', { do: 'fd_bomb' })
    await neighbourWorks(on, 'beside')
    expect((await on.see('failed')).error.code).toBe('EMFILE')
    await neighbourWorks(on, 'after')
  })
})
