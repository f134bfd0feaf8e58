import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { limits } from '../../src/model/limits.ts'
import { agentFixture, FakeSupervisor, type FakeSupervisorOptions } from '../fake-supervisor.ts'

const hasPython = spawnSync('python3', ['-c', 'import sys; assert sys.version_info >= (3, 8)']).status === 0
const clientFolder = fileURLToPath(new URL('../../clients/python', import.meta.url))
const example = fileURLToPath(new URL('../../examples/python/agent.py', import.meta.url))

let agents: FakeSupervisor[] = []
afterEach(() => {
  for (const agent of agents) agent.kill()
  agents = []
})

function start(file = agentFixture('actor.py'), options: FakeSupervisorOptions = {}): FakeSupervisor {
  const environment = { CLIENT_FOLDER: clientFolder, ...options.environment }
  const agent = new FakeSupervisor(['python3', '-B', file], { ...options, environment })
  agents.push(agent)
  return agent
}
const actor = (options?: FakeSupervisorOptions): Promise<FakeSupervisor> => start(undefined, options).ready()
const output = async (agent: FakeSupervisor, input: unknown, journal: never[] | object[] = []): Promise<unknown> => {
  agent.task('t1', input, { journal: journal as never[] })
  return (await agent.frame('done')).output
}

describe.skipIf(!hasPython)(
  `the Python client${hasPython ? '' : ' (skipped: python3 3.8 or newer is not installed)'}`,
  () => {
    test('the example greets', async () => {
      const agent = await start(example).ready()
      expect(await output(agent, { name: 'Ada' })).toEqual({ greeting: 'Hello, Ada!' })
      expect(agent.frames[0]).toMatchObject({
        type: 'hello',
        protocol: 1,
        client: expect.stringContaining('prunella-python/3'),
      })
    })

    test('a task with its identity, and a failure with its name and stack', async () => {
      const agent = await actor()
      const input = { do: 'echo', text: 'é😀' }
      expect(await output(agent, input)).toEqual({ input, id: 't1', attempt: 1, key: 't1', previous: null })
      agent.task('t2', { do: 'fail' })
      const { error } = await agent.frame('failed')
      expect(error).toMatchObject({ name: 'KeyError', message: "'no such thing'" })
      expect(error.stack).toContain('actor.py')
    })

    test('steps are numbered, acknowledged, and taken from the journal', async () => {
      const agent = await actor({ acknowledge: false })
      const journal = [
        { state: 'done', name: 'a', key: '1', repeat: 'safe_to_retry', result: 'old', startedMs: 1, endedMs: 2 },
      ]
      agent.task('t1', { do: 'steps' }, { journal: journal as never[] })
      await agent.frame('call_ended', { call: 1, result: 2 })
      agent.send({ type: 'ping', ping: 1 })
      await agent.frame('pong')
      expect(agent.of('call_started')).toHaveLength(1)
      agent.ack('t1', 1, 'end')
      await agent.frame('call_ended', { call: 2 })
      agent.ack('t1', 2, 'end')
      expect((await agent.frame('done')).output).toEqual(['old', 2, 't1:b:mine', 't1:b:mine'])
      expect(agent.stdout).toBe('ran a again\n')
    })

    const doubtful = [{ state: 'started', name: 'charge', key: '1', repeat: 'check_first', startedMs: 1 }]
    test.each([
      { journal: doubtful, found: 'old', result: 'old', said: 'asked t1:charge:1\n' },
      { journal: doubtful, found: null, result: 'new', said: 'asked t1:charge:1\ncharged\n' },
      { journal: [], found: 'old', result: 'new', said: 'charged\n' },
    ])('check_first: %o', async ({ journal, found, result, said }) => {
      const agent = await actor()
      expect(await output(agent, { do: 'check_first', found }, journal)).toBe(result)
      expect(agent.stdout).toBe(said)
    })

    test('tools: fingerprints as in the TypeScript client', async () => {
      const agent = await actor()
      const keys = await output(agent, { do: 'tools' })
      const [first, second, third, ...more] = agent.of('call_started')
      expect(first?.args).toEqual({
        hash: expect.stringMatching(/^[0-9a-f]{32}$/),
        length: 15,
        text: '{"a":[2],"b":1}',
      })
      expect(second).toMatchObject({ args: first?.args, poll: true })
      expect(third).toMatchObject({ key: third?.args?.hash, timeoutMs: 5_000 })
      expect(more).toEqual([])
      const [a, b] = [first?.args?.hash, third?.args?.hash]
      expect(keys).toEqual([`t1:search:${a}-1`, `t1:search:${a}-2`, `t1:send:${b}`, `t1:send:${b}`])
    })

    test('what cannot be sent is refused before it is sent', async () => {
      const agent = await actor()
      expect(await output(agent, { do: 'large' })).toEqual([
        ...['PRUNELLA_TOO_LARGE', 'PRUNELLA_INVALID', 'PRUNELLA_INVALID'],
        limits.payloadBytes - 2,
      ])
      agent.task('t2', { do: 'deep', of: limits.jsonDepth }).task('t3', { do: 'deep', of: limits.jsonDepth - 1 })
      expect(await agent.frame('failed')).toMatchObject({ task: 't2', error: { code: 'PRUNELLA_INVALID' } })
      await agent.frame('done', { task: 't3' })
    })

    test.each([
      { reset: 'works', answer: 'reset_ok' },
      { reset: 'fails', answer: 'reset_failed' },
    ] as const)('a reset that $reset is answered when the blocked function has returned', async ({ reset, answer }) => {
      const agent = await actor({ concurrency: 2 })
      agent.task('t1', { do: 'deaf', reset })
      await agent.frame('call_started')
      agent.send({ type: 'reset', task: 't1', fence: 1, reason: 'no progress' })
      agent.task('t2', { do: 'release' })
      await agent.frame(answer, { task: 't1' })
      expect(agent.stdout).toBe(
        'step: PRUNELLA_STALE_FENCE\nlate: PRUNELLA_STALE_FENCE PRUNELLA_STALE_FENCE\nreset t1\n',
      )
      expect(agent.of('call_ended')).toEqual([])
      agent.send({ type: 'reset', task: 'other', fence: 1, reason: 'x' })
      await agent.frame('reset_ok', { task: 'other' })
    })

    test('a wait ends with its block or with the next word', async () => {
      const agent = await actor()
      await output(agent, { do: 'waiting' })
      const types = agent.frames.map(({ type }) => type).filter((type) => type !== 'pulse')
      const wait = ['call_started', 'call_ended']
      expect(types).toEqual(['hello', 'ready', 'started', ...wait, ...wait, 'progress', 'done'])
      expect(agent.of('call_started')[0]).toMatchObject({
        kind: 'wait',
        name: 'the reviewer',
        timeoutMs: 60_000,
        blocking: false,
      })
    })

    test('pulses while a handler blocks, and answers checks', async () => {
      const agent = await actor({ pulseMs: 20 })
      agent.task('t1', { do: 'sleep' })
      await agent.frame('started')
      await agent.frame('pulse', {}, agent.of('pulse').length + 3)
      agent.send({ type: 'check', probe: 7, timeoutMs: 100 })
      const failed = (reason: string) => ({ ok: false, reason })
      expect((await agent.frame('checked', { probe: 7 })).results).toEqual({
        good: { ok: true },
        bad: failed('no connection'),
        false: failed('the check gave False'),
        slow: failed('no answer within 100 ms'),
      })
    })

    test('a silent supervisor takes the right to act, a dead one ends the process', async () => {
      const agent = await actor({ leaseMs: 200, pulseMs: 50 })
      agent.task('t1', { do: 'sleep' }).task('t2', { do: 'echo' })
      await agent.frame('lease_expired', { task: 't1' })
      await agent.frame('lease_expired', { task: 't2' })
      expect(agent.of('started')).toHaveLength(1)
      const startMs = performance.now()
      agent.hangUp()
      expect(await agent.exited()).toEqual({ code: 0, signal: null })
      expect(performance.now() - startMs).toBeLessThan(1_500)
    })

    test.each([
      { how: 'plain', dependency: 'db', blamed: 'db' },
      { how: 'plain', blamed: undefined },
      { how: 'named', dependency: 'db', blamed: 'search' },
      { how: 'wrapped', blamed: 'search' },
      { how: 'nested', dependency: 'db', blamed: 'inner-db' },
      { how: 'misuse', dependency: 'db', blamed: undefined },
    ])('the dependency of a failed call, %o', async ({ blamed, ...input }) => {
      const agent = await actor()
      agent.task('t1', { do: 'blames', ...input })
      const { error } = await agent.frame('failed')
      const ended = agent.of('call_ended').at(-1)
      expect([ended?.error?.dependency, error.dependency]).toEqual([blamed, blamed])
      expect(agent.of('call_started')[0]?.dependency).toBe(input.dependency)
    })

    test('prints as in the TypeScript client: the shared file, and tools only', async () => {
      const file = fileURLToPath(new URL('../fixtures/prints.json', import.meta.url))
      const environment = { ...process.env, CLIENT_FOLDER: clientFolder }
      const run = spawnSync('python3', ['-B', agentFixture('actor.py'), file], { encoding: 'utf8', env: environment })
      expect(run).toMatchObject({ status: 0, stdout: '', stderr: '' })
      const agent = await actor()
      await output(agent, { do: 'prints', results: [{ b: 1, a: [20] }, { a: [7], b: 1.0 }, ''] })
      const [first, second, third, kept, unseen, step, failed] = agent.of('call_ended').map(({ print }) => print)
      expect(first).toMatchObject({ length: 16 })
      expect(second).toMatchObject({ folded: first?.folded, length: 15 })
      expect([third?.length, kept, unseen, step]).toEqual([0, first, undefined, undefined])
      expect(failed?.length).toBeGreaterThan(0)
    })

    test('model calls and user turns', async () => {
      const agent = await actor()
      const calls = [
        { provider: 'openai', prompt_tokens: 10, window_tokens: 100, tool_calls: 0, usd: 0.5, text: 'I will.' },
        { failure: 'overloaded' },
        ...[{ prompt_tokens: -1 }, { usd: 'much' }, { failure: 'tired' }, { text: 7 }, { tokens: 1 }],
      ]
      await output(agent, { do: 'models', calls })
      const seen = { provider: 'openai', promptTokens: 10, windowTokens: 100, toolCalls: 0, usd: 0.5, textLength: 9 }
      const textHash = expect.stringMatching(/^[0-9a-f]{32}$/)
      const attempt = { type: 'model_called', task: 't1', fence: 1 }
      expect(agent.of('model_called')).toEqual([
        { ...attempt, ...seen, textHash },
        { ...attempt, failure: 'overloaded' },
      ])
      expect(agent.stdout.trim().split('\n')).toEqual(
        ['prompt_tokens must', 'usd must', 'failure must', 'text must', 'no tokens'].map((text) =>
          expect.stringContaining(text),
        ),
      )
      expect(agent.of('user_turn')).toHaveLength(1)
    })

    test('a budget is counted, and refused when it is used up', async () => {
      const agent = await actor({})
      const over = 'PRUNELLA_BUDGET_EXCEEDED'
      const call = { prompt_tokens: 10, completion_tokens: 2 }
      const calls = [{ failure: 'overloaded' }, call, call]
      agent.task('t1', { do: 'spends', calls }, { left: { tokens: 12, calls: 9 } })
      expect((await agent.frame('done')).output).toEqual([
        ...[{ tokens: 12, calls: 9 }, over],
        ...[{ tokens: -12, calls: 7 }, over, over, over],
      ])
      expect(agent.of('model_called')).toHaveLength(3)
      expect(agent.of('call_started')).toEqual([])
    })

    test('nudges are read once, and the newest are kept', async () => {
      const agent = await actor({ concurrency: 2 })
      agent.task('t1', { do: 'listens' })
      await agent.frame('progress')
      for (let n = 1; n <= limits.nudgesKept + 1; n += 1)
        agent.send({ type: 'nudge', task: 't1', fence: 1, text: `hint ${n}` })
      agent.task('t2', { do: 'release' })
      const hints = Array.from({ length: limits.nudgesKept }, (_, n) => `hint ${n + 2}`)
      expect((await agent.frame('done', { task: 't1' })).output).toEqual([hints, []])
    })

    test.each([
      { how: 'shrinks', answer: { type: 'compacted', tokens: 1_234 } },
      { how: 'is silent', answer: { type: 'compacted' } },
      { how: 'fails', answer: { type: 'compact_failed', error: { name: 'ValueError' } } },
    ] as const)('a compaction that $how', async ({ how, answer }) => {
      const agent = await actor()
      expect(agent.of('ready')).toMatchObject([{ compactable: true }])
      agent.task('t1', { do: 'works', compact: how })
      await agent.frame('progress')
      agent.send({ type: 'compact', task: 't1', fence: 1, timeoutMs: 1_000, reason: 'x' })
      expect(await agent.frame(answer.type)).toMatchObject(answer)
      expect(agent.of('compacted')[0]?.tokens).toBe('tokens' in answer ? answer.tokens : undefined)
    })

    test('a compaction is done once at a time, a reset waits for it, and then it is not answered', async () => {
      const agent = await actor({ concurrency: 2 })
      agent.task('t1', { do: 'works', compact: 'waits' })
      await agent.frame('progress')
      for (const _ of [1, 2]) agent.send({ type: 'compact', task: 't1', fence: 1, timeoutMs: 1_000, reason: 'x' })
      await agent.frame('progress', { note: 'compacting t1' })
      agent.send({ type: 'reset', task: 't1', fence: 1, reason: 'still too large' }).task('t2', { do: 'release' })
      await agent.frame('reset_ok', { task: 't1' })
      expect(agent.of('progress')).toHaveLength(2)
      expect([...agent.of('compacted'), ...agent.of('compact_failed')]).toEqual([])
    })

    test('a compaction of an agent that has none, and of a task that is not running', async () => {
      const agent = await start(undefined, { environment: { COMPACT: 'none' } }).ready()
      expect(agent.of('ready')).toMatchObject([{ compactable: false }])
      agent.task('t1', { do: 'works' })
      await agent.frame('progress')
      for (const task of ['t1', 't7']) agent.send({ type: 'compact', task, fence: 1, timeoutMs: 1_000, reason: 'x' })
      expect((await agent.frame('compact_failed', { task: 't1' })).error.name).toBe('NotSupported')
      expect((await agent.frame('compact_failed', { task: 't7' })).error.name).toBe('NotRunning')
    })

    test('a setup that fails says why', async () => {
      const agent = start(undefined, { environment: { SETUP: 'fails' } }).adopt()
      expect((await agent.frame('setup_failed')).error).toMatchObject({ name: 'OSError', message: 'no model' })
      expect(await agent.exited()).toEqual({ code: 1, signal: null })
    })
  },
)

test.runIf(hasPython)('the client compiles as the Python it promises', () => {
  const code = 'import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 8))'
  const { status, stderr } = spawnSync('python3', ['-c', code, `${clientFolder}/prunella.py`], { encoding: 'utf8' })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
})

test.runIf(hasPython)('the smallest agent of docs/protocol.md works', async () => {
  const text = readFileSync(fileURLToPath(new URL('../../docs/protocol.md', import.meta.url)), 'utf8')
  const [, code = ''] = /```python\n(.*?)```/s.exec(text) ?? []
  const agent = new FakeSupervisor(['python3', '-c', code])
  agents.push(agent)
  expect(await output(await agent.ready(), { name: 'Ada' })).toBe('Hello, Ada')
  agent.hangUp()
  expect(await agent.exited()).toEqual({ code: 0, signal: null })
})
