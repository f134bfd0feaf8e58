import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/model/limits.ts'
import { actor, killAgentsAfterEach, lines, start } from '../agents.ts'
import { agentFixture } from '../fake-supervisor.ts'
import { until } from '../until.ts'

killAgentsAfterEach()
const name = { task: 't1', fence: 1 }

describe('the process', () => {
  test.each([
    { file: 'plain.ts', error: 'a default export that defineAgent did not make' },
    { file: 'broken-setup.ts', error: 'no model' },
    { file: 'missing.ts', error: 'missing.ts' },
  ])('$file cannot be set up: says why and ends', async ({ file, error }) => {
    const agent = start(file).adopt()
    expect((await agent.frame('setup_failed')).error.message).toContain(error)
    expect(await agent.exited()).toEqual({ code: 1, signal: null })
  })

  test('is not made to misbehave where nobody started it for that', async () => {
    const agent = await actor()
    agent.send({ type: 'misbehave', ...name, fault: 'exit', forMs: 0, memoryBytes: 0 })
    agent.send({ type: 'outage', dependency: 'search', forMs: 60_000 })
    agent.task('t1', { do: 'nothing' })
    expect((await agent.frame('done')).task).toBe('t1')
    expect(agent.exit).toBeNull()
  })

  test('another protocol is refused with both numbers', async () => {
    const agent = start('actor.ts').adopt({ protocol: 99 })
    expect((await agent.exited()).code).not.toBe(0)
    expect(agent.stderr).toContain('protocol 99')
  })

  test.each([
    { act: 'throw_later', code: 1, text: 'nobody catches this' },
    { act: 'reject_later', code: 1, text: 'nobody awaits this' },
    { act: 'exit', code: 3, text: '' },
  ])('$act ends it with code $code, and what was done before is known', async ({ act, code, text }) => {
    const agent = await actor()
    agent.task('t1', { do: 'nothing' }).task('t2', { do: act })
    expect(await agent.exited()).toEqual({ code, signal: null })
    expect(agent.stderr).toContain(text)
    expect(agent.of('done')).toHaveLength(1)
    expect(agent.of('started')).toHaveLength(2)
    expect(agent.of('progress').map(({ note }) => note)).toEqual(act === 'exit' ? ['last words'] : [])
  })

  test('pulses from the main thread with its lag, and answers pings', async () => {
    const agent = await actor({ pulseMs: 20 })
    await agent.frame('pulse', {}, 3)
    agent.task('t1', { do: 'spin', ms: 300 })
    await agent.frame('done')
    const pulse = agent.of('pulse').length
    await agent.frame('pulse', {}, pulse + 2)
    expect(Math.max(...agent.of('pulse').map(({ lagMs }) => lagMs))).toBeGreaterThan(150)
  })

  test('checks: good, thrown, false, too slow; one that hangs is not started twice', async () => {
    const agent = await actor()
    agent.send({ type: 'check', probe: 1, timeoutMs: 50 })
    const failed = (reason: string) => ({ ok: false, reason })
    const results = { good: { ok: true }, bad: failed('no connection'), false: failed('the check gave false') }
    expect(await agent.frame('checked')).toEqual({
      type: 'checked',
      probe: 1,
      results: { ...results, slow: failed('no answer within 50 ms') },
    })
    agent.send({ type: 'check', probe: 2, timeoutMs: 50 })
    expect((await agent.frame('checked', { probe: 2 })).results['slow']).toEqual(
      failed('the check before this one has not ended'),
    )
  })

  test('ends with 0 when the channel closes, at once when idle, within half a second when a task hangs', async () => {
    const [idle, busy] = await Promise.all([actor(), actor()])
    busy.task('t1', { do: 'hang' })
    await busy.frame('progress')
    const startMs = performance.now()
    idle.hangUp()
    busy.hangUp()
    expect(await idle.exited()).toEqual({ code: 0, signal: null })
    expect(await busy.exited()).toEqual({ code: 0, signal: null })
    expect(performance.now() - startMs).toBeLessThan(1_000)
    expect(busy.stdout).toContain('aborted: The supervisor is gone')
  })

  test('without a word from the supervisor it stops by itself, and works again after the next one', async () => {
    const agent = await actor({ leaseMs: 300 })
    agent.task('t1', { do: 'hang' }).task('t2', { do: 'echo' })
    await agent.frame('lease_expired', { task: 't1' })
    await agent.frame('lease_expired', { task: 't2' })
    expect(agent.of('started')).toHaveLength(1)
    expect(await lines(agent, 1)).toEqual([expect.stringContaining('silent for longer than the lease')])
    agent.send({ type: 'reset', ...name, reason: 'returned' })
    agent.send({ type: 'ping', ping: 1 })
    await agent.frame('pong')
    expect(agent.of('lease_expired')).toHaveLength(2)
  })

  test('any frame prolongs the lease, also one that came while the thread was blocked', async () => {
    const agent = await actor({ leaseMs: 400 })
    agent.task('t1', { do: 'hang' })
    for (let beat = 1; beat <= 8; beat += 1) {
      const waited = performance.now() + 100
      await until(() => performance.now() > waited, { timeoutMs: 1_000, what: '100 ms' })
      agent.send({ type: 'lease' })
    }
    expect(agent.of('lease_expired')).toEqual([])
  })

  test('log lines beyond a thousand a second are counted, progress is not lost while nobody reads', async () => {
    const agent = await actor()
    agent.channel.pause()
    agent.task('t1', { do: 'chatter' })
    await until(() => agent.channel.readableLength > 0, { timeoutMs: 5_000, what: 'the first bytes' })
    agent.channel.resume()
    await agent.frame('done')
    expect(agent.of('log').length).toBeLessThanOrEqual(limits.unsolicitedFramesPerSecond + 2)
    expect(agent.of('progress').at(-1)?.note).toContain('note ')
    expect(agent.stderr).toBe('')
  })
})

describe('stripped TypeScript', () => {
  test('is served from the cache unless the file has changed since', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'prunella-stripped-'))
    try {
      const path = agentFixture('noop.ts')
      const { mtimeMs, size } = statSync(path)
      const index = agentFixture('../../../src/agent/index.ts')
      const served = `import { defineAgent } from ${JSON.stringify(index)}; export default defineAgent({ run: () => 'cached' })`
      writeFileSync(join(folder, 'a.mjs'), served)
      const answers = []
      for (const entry of [
        { mtimeMs, size },
        { mtimeMs: mtimeMs + 1, size },
        { mtimeMs, size: size + 1 },
      ]) {
        writeFileSync(join(folder, 'index.json'), JSON.stringify({ [path]: { ...entry, file: 'a.mjs' } }))
        const agent = await start('noop.ts', { environment: { PRUNELLA_STRIPPED: folder } }).ready()
        agent.task('t1')
        answers.push((await agent.frame('done')).output)
      }
      expect(answers).toEqual(['cached', null, null])
      const agent = await start('noop.ts', { environment: { PRUNELLA_STRIPPED: join(folder, 'gone') } }).ready()
      expect(agent.stderr).toContain('types are stripped here')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
