import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import type { ReplicaRecord } from '../../src/model/change.ts'
import {
  alive,
  carriers,
  closeHosts,
  isRoot,
  lookAt,
  moduleAgent,
  poolSpec,
  replica,
  spinFile,
  startHost as start,
  terminate,
} from '../process-harness.ts'
import { until } from '../until.ts'

afterEach(closeHosts)

const hasCgroup = isRoot && readFileSync('/proc/self/cgroup', 'utf8').includes(':memory:')
const gone = (pid: number, timeoutMs = 3_000) =>
  until(() => !alive(pid), { timeoutMs, what: `process ${pid} to be gone` })

describe('a replica that fails', () => {
  test.each([
    { mode: 'ignore_term', graceMs: 100, signal: 'SIGKILL', what: 'SIGTERM ignored: killed after the grace' },
    { mode: 'echo', graceMs: 0, signal: 'SIGKILL', what: 'grace 0: killed at once' },
  ])('$what', async ({ mode, graceMs, signal }) => {
    const on = start([poolSpec(mode)])
    on.spawn()
    await on.see('ready')
    on.apply(terminate(graceMs))
    on.apply(terminate(graceMs))
    expect(await on.see('exited')).toMatchObject({ signal, cause: 'signal' })
    expect(on.observations.filter(({ kind }) => kind === 'exited')).toHaveLength(1)
  })

  test('terminated before it was started, it never starts', async () => {
    const on = start([poolSpec('echo')])
    on.spawn()
    on.apply(terminate(1_000))
    expect(await on.see('exited')).toMatchObject({ code: null, signal: 'SIGKILL' })
    expect(on.observations.map(({ kind }) => kind)).toEqual(['exited'])
  })

  test('a command that is not there is a failed spawn that names it', async () => {
    const on = start([
      poolSpec('echo', { agent: { kind: 'command', command: ['no-such-program'], protocol: 'frames' } }),
    ])
    on.spawn()
    expect((await on.see('spawn_failed')).error).toMatchObject({
      code: 'ENOENT',
      message: expect.stringContaining('"no-such-program"'),
    })
  })

  test('setup that fails, an exit code and stderr are reported', async () => {
    const failing = start([poolSpec('setup_failed')])
    failing.spawn()
    expect((await failing.see('setup_failed')).error.message).toBe('no model')
    const on = start([poolSpec('echo')])
    on.spawn()
    await on.see('ready')
    on.dispatch('t1', { do: 'exit' })
    expect(await on.see('exited')).toMatchObject({ code: 7, signal: null, cause: 'exit' })
  })

  test('heap exhaustion is told apart', async () => {
    const on = start([
      poolSpec('heap', {
        agent: {
          kind: 'command',
          command: [process.execPath, '--max-old-space-size=40', 'test/fixtures/fake-agent.mjs'],
          protocol: 'frames',
        },
      }),
    ])
    on.spawn()
    const exit = await on.see('exited', 30_000)
    expect(exit).toMatchObject({ signal: 'SIGABRT', cause: 'heap_exhausted' })
    expect(exit.stderrTail).toMatch(/heap limit|out of memory/i)
  })

  test.skipIf(!hasCgroup)('over its memory limit, by the kernel (skipped without a cgroup we may write)', async () => {
    const on = start([poolSpec('memory', { memoryBytes: 120 * 1024 * 1024 })])
    on.spawn()
    expect(await on.see('exited', 20_000)).toMatchObject({ signal: 'SIGKILL', cause: 'oom_kill' })
    expect(on.host.blindSpots).toEqual([])
  })

  test('a kill of ours under a memory limit is no OOM kill', async () => {
    const on = start([poolSpec('echo', { memoryBytes: 300 * 1024 * 1024 })])
    on.spawn()
    await on.see('ready')
    on.apply(terminate(0))
    expect(await on.see('exited')).toMatchObject({ signal: 'SIGKILL', cause: 'signal' })
  })

  test('over its memory limit, by polling', async () => {
    const on = start([poolSpec('memory', { memoryBytes: 150 * 1024 * 1024 })], { wantGroups: false })
    on.spawn()
    const exit = await on.see('exited', 20_000)
    expect(exit).toMatchObject({ signal: 'SIGKILL', cause: 'oom_kill' })
    expect(exit.stderrTail).toMatch(/Killed at \d+ MiB of memory; the limit is 150 MiB/)
  })

  test('stopped, it is seen as stopped, and dies all the same', async () => {
    const on = start([poolSpec('echo')])
    on.spawn()
    const { pid } = await on.see('spawned')
    await on.see('ready')
    process.kill(pid, 'SIGSTOP')
    // The signal is sent, not yet taken, when kill returns.
    await until(async () => (await lookAt(on)).state === 'T', { timeoutMs: 2_000, what: 'state T' })
    on.apply(terminate(100))
    expect(await on.see('exited')).toMatchObject({ signal: 'SIGKILL' })
  })

  test('spinning, its CPU time rises and its file and line are told', async () => {
    const on = start([poolSpec('spin_cpu', { agent: moduleAgent(spinFile) })])
    on.spawn()
    await on.see('ready')
    const first = await until(
      async () => {
        const { state, cpuMs } = await lookAt(on)
        return state === 'R' && cpuMs > 200 ? cpuMs : 0
      },
      { timeoutMs: 10_000, what: 'a process that spins' },
    )
    await until(async () => (await lookAt(on)).cpuMs > first, { timeoutMs: 5_000, what: 'more CPU time' })
    on.apply({ kind: 'capture_stack', replica, incarnation: 1 })
    const { frames } = await on.see('stack')
    expect(frames[0]).toMatch(/^test\/fixtures\/spin\.ts:4:\d+ spin$/)
    expect(on.host.logs(replica).filter(({ text }) => text.includes('Debugger'))).toEqual([])
    on.apply(terminate(0))
    expect((await on.see('exited')).stderrTail).not.toContain('Debugger')
  })

  test('asked for a stack when it cannot tell, it answers once, with nothing, and lives', async () => {
    const on = start([poolSpec('echo')])
    on.spawn()
    const { pid } = await on.see('spawned')
    await on.see('ready')
    on.apply({ kind: 'capture_stack', replica, incarnation: 1 })
    expect((await on.see('stack')).frames).toEqual([])
    expect(alive(pid)).toBe(true)
  })
})

describe('what it leaves behind', () => {
  test.each([
    { name: 'double fork, own session, own group, SIGTERM ignored', wipe: '', wantUsers: true },
    { name: 'the same under our own user id (found by its marker)', wipe: '', wantUsers: false },
    ...(isRoot ? [{ name: 'a wiped environment too (found by its user id)', wipe: '1', wantUsers: true }] : []),
  ])('S05: $name: nothing is left within 3 s', async ({ wipe, wantUsers }) => {
    const set = { FAKE_MODE: 'family', ...(wipe && { FAKE_WIPE: '1' }) }
    const on = start([poolSpec('family', { environment: { pass: [], set } })], { wantUsers })
    on.spawn()
    await on.see('ready')
    const text = `${on.storeId}.`
    expect(carriers(text).length).toBeGreaterThanOrEqual(wipe ? 5 : 4)
    const fromMs = performance.now()
    on.apply(terminate(0))
    await on.see('exited')
    await until(() => carriers(text).length === 0, { timeoutMs: 3_000, what: 'nothing to be left' })
    expect(performance.now() - fromMs).toBeLessThan(3_000)
  })

  test('what a dead supervisor left is killed: by marker, and by process id with its start time; nobody else', async () => {
    const dead = start([poolSpec('ignore_term')])
    const other = start([poolSpec('echo')])
    dead.spawn()
    other.spawn()
    const orphan = await dead.see('spawned')
    await dead.see('ready')
    const bystander = await other.see('spawned')
    await other.see('ready')
    const next = start([poolSpec('echo')], { storeId: dead.storeId })
    next.spawn()
    const own = await next.see('spawned')
    await next.see('ready')
    const record = (pid: number, startTicks: number | null): ReplicaRecord => ({
      name: replica,
      pool: 'pool',
      index: 0,
      incarnation: 1,
      pid,
      startTicks,
      strikes: [],
      quarantined: false,
      incidentId: null,
    })
    const result = await next.host.killOrphans([record(bystander.pid, (bystander.startTicks ?? 0) + 1)])
    expect(result).toEqual({ killed: 1, remaining: [] })
    expect([orphan.pid, bystander.pid, own.pid].map(alive)).toEqual([false, true, true])
    expect(await next.host.killOrphans([record(bystander.pid, bystander.startTicks)])).toEqual({
      killed: 1,
      remaining: [],
    })
    expect(alive(bystander.pid)).toBe(false)
  })

  test('the kernel kills a spinning replica when its supervisor dies', async () => {
    const { workFolder } = start([]) // Made and removed by this process: the other one is killed.
    const script = `
      import { poolSpec, moduleAgent, spinFile, startHost } from ${JSON.stringify(new URL('../process-harness.ts', import.meta.url).href)}
      const on = startHost([poolSpec('spin_cpu', { agent: moduleAgent(spinFile) })], { workFolder: ${JSON.stringify(workFolder)} })
      on.spawn()
      await on.see('ready')
      const { pid } = await on.see('spawned')
      console.log(pid)
      setTimeout(() => process.kill(process.pid, 'SIGKILL'), 400)`
    let said = ''
    try {
      execFileSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      })
    } catch (error) {
      said = String((error as { stdout?: unknown }).stdout)
    }
    const pid = Number(said)
    expect(pid).toBeGreaterThan(1)
    await gone(pid, 1_000)
  })
})
