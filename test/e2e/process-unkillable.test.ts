import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { type Freezer, openFreezer } from '../fixtures/freezer.ts'
import { alive, closeHosts, type Harness, lookAt, poolSpec, replica, startHost, terminate } from '../process-harness.ts'
import { until } from '../until.ts'

/** Processes that no SIGKILL of ours reaches: the stand-in for a kernel that does not deliver it. */
const deaf = new Set<number>()
vi.mock('../../src/io/process/proc.ts', async (importOriginal) => {
  const real = await importOriginal<typeof import('../../src/io/process/proc.ts')>()
  return {
    ...real,
    sendSignal: (pid: number, signal: NodeJS.Signals) =>
      deaf.has(Math.abs(pid)) && signal === 'SIGKILL' ? true : real.sendSignal(pid, signal),
  }
})

/** How a process is made to survive SIGKILL, and how it is let go. */
interface Way {
  readonly name: string
  hold(on: Harness, pid: number): Promise<void>
  release(pid: number): void
}

const ignoring: Way = {
  name: 'a SIGKILL that is not delivered',
  hold: async (_, pid) => void deaf.add(pid),
  release(pid) {
    deaf.delete(pid)
    process.kill(pid, 'SIGKILL')
  },
}

function freezing(freezer: Freezer): Way {
  return {
    name: 'a frozen file system (F14)',
    async hold(on) {
      on.dispatch('t1', { do: 'write', path: join(freezer.folder, 'file') })
      freezer.freeze()
      await until(async () => (await lookAt(on)).state === 'D', { timeoutMs: 5_000, what: 'a wait in the kernel' })
    },
    release: () => freezer.thaw(),
  }
}

// Where the kernel has no loop devices for us, or we are not root, the stand-in alone shows the ladder.
const freezer = openFreezer()
const ways = [ignoring, ...(freezer === null ? [] : [freezing(freezer)])]

afterEach(closeHosts)
afterAll(() => freezer?.close())

describe('a process that survives SIGKILL', () => {
  test.each(ways)(
    '$name: said after two seconds, listed, replaced without its exit, and let go when it dies',
    async (way) => {
      const on = startHost([poolSpec('echo')])
      on.spawn()
      const { pid } = await on.see('spawned')
      await on.see('ready')
      await way.hold(on, pid)
      try {
        const fromMs = performance.now()
        on.apply(terminate(0))
        expect(await on.see('unkillable', 5_000)).toMatchObject({ replica, incarnation: 1, pid })
        const tookMs = performance.now() - fromMs
        expect(tookMs).toBeGreaterThanOrEqual(1_990)
        expect(tookMs).toBeLessThan(3_000)
        expect(alive(pid)).toBe(true)
        expect(on.observations.some(({ kind }) => kind === 'exited')).toBe(false)
        expect(on.host.blindSpots).toEqual([expect.stringContaining(`Process ${pid} of ${replica} does not die`)])

        on.spawn(2)
        await until(() => on.observations.some((seen) => seen.kind === 'ready' && seen.incarnation === 2), {
          timeoutMs: 5_000,
          what: 'the next incarnation, beside the corpse',
        })
        expect(alive(pid)).toBe(true)
      } finally {
        way.release(pid)
      }
      expect(await on.see('exited')).toMatchObject({ incarnation: 1, signal: 'SIGKILL' })
      await until(() => on.host.blindSpots.length === 0, { timeoutMs: 5_000, what: 'an empty list' })
      expect(on.observations.filter(({ kind }) => kind === 'unkillable')).toHaveLength(1)
    },
  )
})
