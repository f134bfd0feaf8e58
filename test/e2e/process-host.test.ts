import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { limits } from '../../src/model/limits.ts'
import { alive, closeHosts, isRoot, poolSpec, replica, startHost as start, terminate } from '../process-harness.ts'
import { until } from '../until.ts'

afterEach(closeHosts)

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
    await until(() => !alive(pid), { timeoutMs: 3_000, what: 'its process to be gone' })
  })

  test('is nudged and asked to compact, and answers a compaction once', async () => {
    const on = start([poolSpec('echo')])
    on.spawn()
    await on.see('ready')
    on.dispatch('t1', { do: 'wait' })
    await on.see('started')
    const attempt = { replica, incarnation: 1, taskId: 't1', fence: 1 }
    on.apply({ kind: 'nudge', ...attempt, text: 'change approach'.padEnd(limits.nudgeLength + 1, '.') })
    expect(await on.see('progress')).toMatchObject({ note: expect.stringMatching(/^heard change approach\.+$/) })
    on.apply({ kind: 'compact', ...attempt, timeoutMs: 500, reason: '90 % full' })
    on.apply({ kind: 'ping', replica, incarnation: 1, ping: 1 })
    await on.see('pong')
    const notes = on.observations.filter(({ kind }) => kind === 'progress')
    expect(notes.at(-1)).toMatchObject({ note: '90 % full, 500 ms' })
    expect(on.observations.filter(({ kind }) => kind === 'compacted')).toMatchObject([{ ...attempt, tokens: 7 }])
  })

  test.skipIf(process.platform !== 'linux')('its memory and open files are looked at', async () => {
    const on = start([poolSpec('echo')])
    on.spawn()
    const { pid } = await on.see('spawned')
    await on.see('ready')
    const seen = await on.see('memory')
    expect(seen.bytes).toBeGreaterThan(1024 * 1024)
    expect(seen.openFiles).toBe(readdirSync(`/proc/${pid}/fd`).length)
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8')) ?? []
    expect(seen.openFilesLimit).toBe(Number(soft))
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
    on.dispatch('t1', { do: 'done_and_say' })
    const ran = () => on.host.logs(replica).some(({ text }) => text === 'task ran')
    await until(ran, { timeoutMs: 5_000, what: 'the task to be over' })
    expect(on.observations.some(({ kind }) => kind === 'done')).toBe(false)
    const before = on.observations.length
    on.setFull(false)
    await on.see('done')
    expect(on.observations[before]).toMatchObject({ kind: 'pulse', lagMs: 0 })
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
