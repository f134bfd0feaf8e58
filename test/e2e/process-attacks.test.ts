import { afterEach, describe, expect, test } from 'vitest'
import { limits } from '../../src/model/limits.ts'
import { closeHosts, type Harness, leaseOf, measured, poolSpec, replica, startHost } from '../process-harness.ts'
import { until } from '../until.ts'

let on: Harness
afterEach(closeHosts)

const mebibyte = 1024 * 1024
const gapMaxMs = 250
const growthMax = 64 * mebibyte

/** S01 of `security.md`: what an agent may write to its channel. */
const attacks = [
  { mode: 'text', reason: /not a frame: not JSON/ },
  { mode: 'bytes_ff', reason: /not a frame: not UTF-8/ },
  { mode: 'bad_json', reason: /not a frame: not JSON/ },
  { mode: 'null', reason: /not a frame/ },
  { mode: 'node_handle', reason: /breaks the protocol/ },
  { mode: 'length_prefix', reason: /more than 1048576 bytes in one line/ },
  { mode: 'deep', reason: /deeper than 64/ },
  { mode: 'deep_open', reason: /deeper than 64/ },
  { mode: 'huge', reason: /more than 1048576 bytes in one line/ },
  { mode: 'flood', reason: /more than 1000 frames a second that nobody asked for, for 5 s/ },
  { mode: 'flood_log', reason: /more than 1000 frames a second/ },
  { mode: 'flood_stray', reason: /more than 1000 frames a second/ },
  { mode: 'half', reason: /stopped in the middle of a frame after 12 bytes/ },
  { mode: 'no_hello', reason: /began with "ready" instead of "hello"/ },
  { mode: 'old_protocol', reason: /speaks protocol 99, this Prunella speaks 1/ },
  { mode: 'proto', reason: /breaks the protocol: results/ },
]

describe('S01', () => {
  test.each(attacks)(
    '$mode: one violation, a quiet supervisor, and a neighbour that works on',
    async ({ mode, reason }) => {
      const neighbour = poolSpec('echo', { name: 'neighbour' })
      on = startHost([
        poolSpec(mode, { pulse: { everyMs: mode === 'half' ? 3_600_000 : 100, suspectMs: 3_000, hungMs: 5_000 } }),
        neighbour,
      ])
      on.apply({ kind: 'spawn', replica: 'neighbour/0', incarnation: 1, pool: 'neighbour' })
      await on.see('ready')
      const { value, gapMs, grownBytes } = await measured(async () => {
        on.spawn()
        return on.see('violation', 20_000)
      })
      expect(value).toMatchObject({ replica, incarnation: 1, reason: expect.stringMatching(reason) })
      expect(gapMs).toBeLessThan(gapMaxMs)
      expect(grownBytes).toBeLessThan(growthMax)
      on.host.apply({
        kind: 'dispatch',
        replica: 'neighbour/0',
        incarnation: 1,
        lease: leaseOf('neighbour', 't', 1, 1),
        leaseMs: 10_000,
      })
      await until(() => on.observations.some((seen) => seen.kind === 'done' && seen.taskId === 't'), {
        timeoutMs: 5_000,
        what: 'the neighbour’s task',
      })
      on.apply({ kind: 'terminate', replica, incarnation: 1, graceMs: 0 })
      await until(() => on.observations.some((seen) => seen.kind === 'exited' && seen.replica === replica), {
        timeoutMs: 5_000,
        what: 'its end',
      })
      expect(on.observations.filter(({ kind }) => kind === 'violation')).toHaveLength(1)
      expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined()
    },
  )

  test('a result above the payload limit', async () => {
    on = startHost([poolSpec('echo')])
    on.spawn()
    await on.see('ready')
    on.dispatch('t1', { do: 'large' })
    expect((await on.see('violation')).reason).toContain('PRUNELLA_TOO_LARGE')
    expect(on.observations.some(({ kind }) => kind === 'done')).toBe(false)
  })

  test('a deaf agent: what waits for it is bounded', async () => {
    on = startHost([poolSpec('deaf')])
    on.spawn()
    await on.see('ready')
    const input = 'x'.repeat(500 * 1024)
    const { grownBytes } = await measured(async () => {
      for (let fence = 1; fence <= 400; fence += 1) {
        on.dispatch('t', input, fence)
        if (fence % 4 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      return on.see('violation')
    })
    expect((await on.see('violation')).reason).toBe(
      `does not read its channel: ${limits.channelBacklogBytes} bytes wait for it`,
    )
    expect(grownBytes).toBeLessThan(growthMax)
  })
})
