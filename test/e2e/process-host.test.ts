import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { ReplicaRecord } from '../../src/model/change.ts'
import { type Harness, moduleAgent, poolSpec, replica, spinFile, startHost } from '../process-harness.ts'
import { until } from '../until.ts'

let open: Harness[] = []
const start: typeof startHost = (pools, changes) => {
  const harness = startHost(pools, changes)
  open.push(harness)
  return harness
}
afterEach(async () => {
  await Promise.all(open.map((harness) => harness.close()))
  open = []
})

const isRoot = process.getuid?.() === 0
const hasCgroup = (() => {
  try {
    return readFileSync('/proc/self/cgroup', 'utf8').includes(':memory:') && isRoot
  } catch {
    return false
  }
})()
const alive = (pid: number) => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
const carriers = (text: string) =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && alive(Number(pid)) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(text)
    } catch {
      return false
    }
  })
const gone = (pid: number, timeoutMs = 3_000) =>
  until(() => !alive(pid), { timeoutMs, what: `process ${pid} to be gone` })
const lookAt = (on: Harness) => {
  const from = on.observations.length
  on.apply({ kind: 'look', replica, incarnation: 1 })
  return until(() => on.observations.slice(from).find((seen) => seen.kind === 'looked')?.look, {
    timeoutMs: 2_000,
    what: 'a look',
  })
}
const terminate = (graceMs: number, incarnation = 1) => ({ kind: 'terminate', replica, incarnation, graceMs }) as const

describe('a replica that behaves', () => {
  test('is adopted, gets ready, runs a task and ends when told', async () => {
    const on = start([poolSpec('echo')])
    on.spawn()
    const { pid, startTicks } = await on.see('spawned')
    expect(await on.see('ready')).toMatchObject({ replica, incarnation: 1, checks: ['database'], resettable: true })
    expect(startTicks).toBeGreaterThan(0)
    on.dispatch('t1', { hello: 'world' })
    expect(await on.see('done')).toMatchObject({ taskId: 't1', fence: 1, output: { echo: { hello: 'world' } } })
    expect(on.observations.findIndex(({ kind }) => kind === 'started')).toBeLessThan(
      on.observations.findIndex(({ kind }) => kind === 'done'),
    )
    on.apply({ kind: 'ping', replica, incarnation: 1, ping: 3 })
    expect(await on.see('pong')).toMatchObject({ ping: 3 })
    on.apply({ kind: 'check', replica, incarnation: 1, probe: 2, timeoutMs: 100 })
    expect(await on.see('checked')).toMatchObject({ probe: 2, results: { database: { ok: false, reason: 'down' } } })
    await on.see('pulse')
    on.apply(terminate(1_000))
    expect(await on.see('exited')).toMatchObject({ code: null, signal: 'SIGTERM', cause: 'signal' })
    await gone(pid)
  })

  test('gets an environment of its own, and nothing of ours', async () => {
    process.env.HOST_CANARY = 'must stay here'
    process.env.HOST_PASSED = 'goes along'
    process.env.NODE_OPTIONS = '--no-warnings'
    const on = start([
      poolSpec('echo', { environment: { pass: ['HOST_PASSED'], set: { FAKE_MODE: 'echo', OWN: '1' } } }),
    ])
    on.spawn()
    await on.see('ready')
    on.dispatch('t1', { env: true })
    const { output } = await on.see('done')
    delete process.env.HOST_CANARY
    delete process.env.HOST_PASSED
    delete process.env.NODE_OPTIONS
    const { env, cwd } = output as { env: Record<string, string>; cwd: string }
    expect(
      Object.keys(env)
        .filter((name) => !/^(PATH|LANG|LANGUAGE|LC_.*|TZ|NODE_EXTRA_CA_CERTS|SSL_CERT_.*)$/.test(name))
        .sort(),
    ).toEqual([
      'FAKE_MODE',
      'HOME',
      'HOST_PASSED',
      'OWN',
      'PRUNELLA_POOL',
      'PRUNELLA_PROCESS',
      'PRUNELLA_ROOT',
      'TMPDIR',
    ])
    expect(env['PRUNELLA_PROCESS']).toMatch(new RegExp(`^${on.storeId}\\.[0-9a-f]{8}\\.1$`))
    expect(cwd).toBe(env['HOME'])
    expect(statSync(cwd).mode & 0o777).toBe(0o700)
    on.apply(terminate(0))
    await on.see('exited')
    await until(() => !existsSync(cwd), { timeoutMs: 3_000, what: 'its folder to be removed' })
  })

  test('a done written before death wins: it is seen before the exit', async () => {
    const on = start([poolSpec('echo')])
    on.spawn()
    await on.see('ready')
    on.dispatch('t1', { do: 'done_and_die' })
    expect(await on.see('exited')).toMatchObject({ signal: 'SIGKILL', cause: 'signal' })
    expect(on.observations.map(({ kind }) => kind).slice(-2)).toEqual(['done', 'exited'])
  })

  test('also when we were not reading at that moment', async () => {
    const on = start([poolSpec('echo')])
    on.spawn()
    await on.see('ready')
    on.setFull(true)
    on.dispatch('t1', { do: 'done_and_die' })
    await on.see('exited')
    expect(on.observations.map(({ kind }) => kind).slice(-2)).toEqual(['done', 'exited'])
  })

  test('answers count once, and only for what was dispatched here', async () => {
    const on = start([poolSpec('echo')])
    on.spawn()
    await on.see('ready')
    on.dispatch('t1', { do: 'twice' })
    on.dispatch('t2', 'next')
    await until(() => on.observations.some((seen) => seen.kind === 'done' && seen.taskId === 't2'), {
      timeoutMs: 5_000,
      what: 't2',
    })
    expect(on.observations.filter((seen) => seen.kind === 'done' && seen.taskId === 't1')).toHaveLength(1)
  })

  test('effects of another incarnation, and a spawn carried out twice, do nothing', async () => {
    const on = start([poolSpec('echo')])
    on.spawn()
    on.spawn()
    const { pid } = await on.see('spawned')
    await on.see('ready')
    on.apply(terminate(0, 2))
    on.apply({ kind: 'ping', replica, incarnation: 1, ping: 1 })
    await on.see('pong')
    expect(alive(pid)).toBe(true)
    expect(on.observations.filter(({ kind }) => kind === 'spawned')).toHaveLength(1)
    on.apply(terminate(0))
    await on.see('exited')
    on.spawn(1)
    on.spawn(2)
    await until(() => on.observations.some((seen) => seen.kind === 'ready' && seen.incarnation === 2), {
      timeoutMs: 5_000,
      what: 'incarnation 2',
    })
    expect(on.observations.filter(({ kind }) => kind === 'spawned')).toHaveLength(2)
  })

  test('while the inbox is full nothing is read, and a pulse says so afterwards', async () => {
    const on = start([poolSpec('echo')])
    on.spawn()
    await on.see('ready')
    on.setFull(true)
    on.dispatch('t1', 1)
    await until(
      () => {
        const before = on.observations.length
        return new Promise<boolean>((resolve) => setTimeout(() => resolve(on.observations.length === before), 250))
      },
      { timeoutMs: 5_000, what: 'silence' },
    )
    expect(on.observations.some(({ kind }) => kind === 'done')).toBe(false)
    const before = on.observations.length
    on.setFull(false)
    await on.see('done')
    expect(on.observations[before]).toMatchObject({ kind: 'pulse', lagMs: 0 })
  })
})

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
    const on = start([poolSpec('memory', { memoryBytes: 150 * 1024 * 1024 })], { wantMemoryGroups: false })
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
    const script = `
      import { poolSpec, moduleAgent, spinFile, startHost } from ${JSON.stringify(new URL('../process-harness.ts', import.meta.url).href)}
      const on = startHost([poolSpec('spin_cpu', { agent: moduleAgent(spinFile) })])
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

describe('a replica’s user', () => {
  test.skipIf(!isRoot)('is its own, and its folders are closed to others (skipped unless root)', async () => {
    const on = start([poolSpec('echo', { replicas: { min: 2, max: 2 } })])
    on.spawn(1)
    on.spawn(1, 'pool/1')
    await until(() => on.observations.filter(({ kind }) => kind === 'ready').length === 2, {
      timeoutMs: 10_000,
      what: 'two replicas',
    })
    const pids = ['pool/0', 'pool/1'].map(
      (name) =>
        on.observations.flatMap((seen) => (seen.kind === 'spawned' && seen.replica === name ? [seen.pid] : []))[0],
    )
    const users = pids.map((pid) => /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
    expect(new Set(users).size).toBe(2)
    for (const user of users) expect(Number(user)).toBeGreaterThanOrEqual(61_000)
    expect(readFileSync(`/proc/${pids[0]}/status`, 'utf8')).toMatch(/NoNewPrivs:\s+1/)
    const home = join(on.workFolder, 'run', 'pool-0.1', 'home')
    expect(() =>
      execFileSync('setpriv', [`--reuid=${users[1]}`, `--regid=${users[1]}`, '--clear-groups', 'ls', home], {
        stdio: 'pipe',
      }),
    ).toThrow(/Permission denied/)
  })

  test.skipIf(!isRoot)(
    'stays ours where the agent is closed to others, with one warning that names the folder (skipped unless root)',
    async () => {
      const closed = start([poolSpec('echo')])
      const folder = join(closed.workFolder, 'private')
      execFileSync('sh', ['-c', `mkdir -m 700 "$0" && cp test/fixtures/fake-agent.mjs "$0"/agent.mjs`, folder])
      const on = start(
        [
          poolSpec('echo', {
            agent: { kind: 'command', command: [process.execPath, join(folder, 'agent.mjs')], protocol: 'frames' },
          }),
        ],
        { root: folder },
      )
      on.spawn(1)
      on.spawn(1, 'pool/1')
      await until(() => on.observations.filter(({ kind }) => kind === 'ready').length === 2, {
        timeoutMs: 10_000,
        what: 'two replicas',
      })
      expect(on.warnings.filter((text) => text.includes(folder))).toHaveLength(1)
      expect(on.warnings[0]).toContain(`chmod o+rx ${folder}`)
      expect(on.host.blindSpots).toEqual(on.warnings)
    },
  )
})

describe('S04', () => {
  test.each([
    { name: 'without hardenSelf it opens (so the test can see it)', harden: '', isOpen: true },
    { name: 'with it, it stays closed', harden: 'hardenSelf()', isOpen: false },
  ])('the supervisor’s inspector on SIGUSR1: $name', ({ harden, isOpen }) => {
    const script = `
      import { hardenSelf } from ${JSON.stringify(new URL('../../src/io/process/harden.ts', import.meta.url).href)}
      ${harden}
      setTimeout(() => process.kill(process.pid, 'SIGUSR1'), 50)
      setTimeout(() => process.exit(0), 500)`
    const argv = ['--no-warnings', '--inspect-port=127.0.0.1:0', '--input-type=module', '-e', script]
    const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' })
    expect(status).toBe(0)
    expect(stderr.includes('Debugger listening')).toBe(isOpen)
  })
})

describe('output', () => {
  test('is captured in lines, inert, redacted and limited', async () => {
    const on = start([
      poolSpec('talk', { environment: { pass: [], set: { FAKE_MODE: 'talk', MY_TOKEN: 'literal-canary' } } }),
    ])
    on.spawn()
    const texts = () => on.host.logs(replica).map(({ text }) => text)
    await until(() => texts().includes('after'), { timeoutMs: 10_000, what: 'the last line' })
    expect(texts()).toContain('hello red  key [redacted]')
    expect(texts()).toContain('the secret is [redacted]')
    expect(texts().find((text) => text.startsWith('yyy'))).toMatch(/y \[\d+ bytes cut\]$/)
    expect(texts().length).toBeLessThanOrEqual(1_000)
    expect(texts().some((text) => /^\[\d+ bytes of output were not kept/.test(text))).toBe(true)
    on.apply(terminate(0))
    expect((await on.see('exited')).stderrTail).toContain('the secret is [redacted]')
  })
})
