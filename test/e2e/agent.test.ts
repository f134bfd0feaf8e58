import { describe, expect, test } from 'vitest'
import { limits } from '../../src/model/limits.ts'
import { actor, killAgentsAfterEach, lines } from '../agents.ts'

killAgentsAfterEach()
const name = { task: 't1', fence: 1 }

describe('a task', () => {
  test('hello, setup, ready, started, done', async () => {
    const agent = await actor()
    agent.task('t1', { do: 'echo', value: 'é' }, { attempt: 2 })
    const { output } = await agent.frame('done')
    const replica = { name: 'pool/0', pool: 'pool', incarnation: 4 }
    const task = { id: 't1', attempt: 2, idempotencyKey: 't1', deadlineMs: null }
    expect(output).toEqual({ task, replica, previous: null, idempotencyKey: 't1', nudges: [], value: 'é' })
    expect(agent.frames.map(({ type }) => type)).toEqual(['hello', 'log', 'ready', 'started', 'done'])
    expect(agent.of('ready')).toEqual([
      { type: 'ready', checks: ['good', 'bad', 'false', 'slow'], resettable: true, compactable: false },
    ])
  })

  test('undefined becomes null; what run throws is failed, with name, code and stack', async () => {
    const agent = await actor()
    agent.task('t1', { do: 'nothing' }).task('t2', { do: 'fail' })
    expect(await agent.frame('done')).toMatchObject({ task: 't1', output: null })
    const { error } = await agent.frame('failed')
    expect(error).toMatchObject({ name: 'RangeError', message: 'wrong answer', code: 'E_WRONG' })
    expect(error.stack).toContain('actor.ts')
  })

  test.each([
    { of: 'bigint', code: 'PRUNELLA_INVALID' },
    { of: 'large', code: 'PRUNELLA_TOO_LARGE' },
    { of: limits.jsonDepth, code: 'PRUNELLA_INVALID' },
  ])('an output that cannot be sent ($of) fails the task, not the process', async ({ of, code }) => {
    const agent = await actor()
    agent.task('t1', { do: 'output', of }).task('t2', { do: 'output', of: limits.jsonDepth - 1 })
    expect((await agent.frame('failed')).error).toMatchObject({ code, message: expect.stringContaining('task t1') })
    await agent.frame('done', { task: 't2' })
  })

  test('runs as many at once as it may, in order', async () => {
    const agent = await actor({ concurrency: 2 })
    for (const id of ['t1', 't2', 't3']) agent.task(id, { do: 'hang' })
    agent.send({ type: 'ping', ping: 1 })
    await agent.frame('pong')
    await agent.frame('started', { task: 't2' })
    expect(agent.of('started').map(({ task }) => task)).toEqual(['t1', 't2'])
    agent.send({ type: 'reset', task: 't3', fence: 1, reason: 'drained' })
    expect(await agent.frame('reset_ok')).toMatchObject({ task: 't3' })
  })

  test('many that end at once are done in few reads, and the pulse goes on between them', async () => {
    const agent = await actor({ pulseMs: 20 })
    for (let n = 0; n < 50; n += 1) agent.task(`t${n}`, { do: 'spin', ms: 10 })
    await agent.frame('done', { task: 't49' })
    const [started, done] = [agent.of('started'), agent.of('done')].map((found) => found.map(({ task }) => task))
    expect(done).toEqual(started)
    expect(agent.of('pulse').length).toBeGreaterThan(5) // In 500 ms of work: at most every 25 ms without it.
  })

  test('is known as the one that runs, and those before it as done, when it takes the process down', async () => {
    const agent = await actor()
    for (let n = 1; n <= 20; n += 1) agent.task(`t${n}`, { do: 'nothing' })
    agent.task('t21', { do: 'block_forever' })
    await agent.frame('started', { task: 't21' })
    expect(agent.of('done')).toHaveLength(20)
  })
})

describe('steps and tools', () => {
  test('a step is journaled under its name and number, and resolves when its end is durable', async () => {
    const agent = await actor({ acknowledge: false })
    agent.task('t1', { do: 'steps' })
    const end = await agent.frame('call_ended', { call: 1 })
    agent.send({ type: 'ping', ping: 1 })
    await agent.frame('pong')
    expect(end).toEqual({ type: 'call_ended', ...name, call: 1, ok: true, result: { n: 1 } })
    expect(agent.of('call_started')).toHaveLength(1)
    agent.ack('t1', 1, 'end')
    await agent.frame('call_ended', { call: 2 })
    agent.ack('t1', 2, 'end')
    await agent.frame('call_ended', { call: 3 })
    agent.ack('t1', 3, 'end')
    expect((await agent.frame('done')).output).toEqual([{ n: 1 }, 2, 't1:b:mine'])
    expect(agent.of('call_started').map(({ name, key, repeat }) => [name, key, repeat])).toEqual([
      ['a', '1', 'safe_to_retry'],
      ['a', '2', 'safe_to_retry'],
      ['b', 'mine', 'safe_to_retry'],
    ])
  })

  test('a step that is done comes from the journal, also when that came in parts', async () => {
    const agent = await actor()
    const done = { state: 'done', name: 'a', repeat: 'safe_to_retry', startedMs: 1, endedMs: 2 } as const
    agent.send({ type: 'journal', ...name, steps: [{ ...done, key: '1', result: 'old' }] })
    agent.task('t1', { do: 'steps' }, { journal: [{ ...done, key: '2', result: null }] })
    expect((await agent.frame('done')).output).toEqual(['old', null, 't1:b:mine'])
    expect(await lines(agent, 1)).toEqual(['ran b'])
  })

  const doubtful = { state: 'started', name: 'charge', key: '1', repeat: 'check_first', startedMs: 1 } as const
  test.each([
    {
      case: 'it happened: its result counts',
      journal: [doubtful],
      found: 'old',
      output: 'old',
      said: ['asked t1:charge:1'],
    },
    {
      case: 'it did not: run',
      journal: [doubtful],
      found: undefined,
      output: 'new',
      said: ['asked t1:charge:1', 'charged'],
    },
    { case: 'null is a result', journal: [doubtful], found: null, output: null, said: ['asked t1:charge:1'] },
    { case: 'not in doubt: not asked', journal: [], found: 'old', output: 'new', said: ['charged'] },
  ])('check_first, $case', async ({ journal, found, output, said }) => {
    const agent = await actor()
    agent.task('t1', { do: 'check_first', found }, { journal })
    expect((await agent.frame('done')).output).toBe(output)
    expect(await lines(agent, said.length)).toEqual(said)
  })

  test('a step that is not safe to repeat begins only when its start is durable', async () => {
    const agent = await actor({ acknowledge: false })
    agent.task('t1', { do: 'check_first' })
    await agent.frame('call_started')
    agent.send({ type: 'ping', ping: 1 })
    await agent.frame('pong')
    expect(agent.stdout).toBe('')
    agent.ack('t1', 1, 'start')
    expect(await lines(agent, 1)).toEqual(['charged'])
  })

  test('a failed step rejects with its own error and ends not ok', async () => {
    const agent = await actor()
    agent.task('t1', { do: 'failing_step' })
    expect((await agent.frame('done')).output).toBe('caught no luck')
    expect(await agent.frame('call_ended')).toMatchObject({ ok: false, error: { name: 'TypeError', code: 'E_LUCK' } })
  })

  test('a tool is journaled only with a key or a repeat word; arguments are told apart by value', async () => {
    const agent = await actor()
    agent.task('t1', { do: 'tools' })
    const { output } = await agent.frame('done')
    const [first, second, third, ...more] = agent.of('call_started')
    expect(first).toMatchObject({ kind: 'tool', name: 'search', args: { length: 15, text: '{"a":[2],"b":1}' } })
    expect(first).not.toHaveProperty('key')
    expect(second).toMatchObject({ args: first?.args, poll: true, timeoutMs: 5_000 })
    expect(third).toMatchObject({ name: 'send', key: third?.args?.hash })
    expect(more).toEqual([])
    const [a, b] = [first?.args?.hash, third?.args?.hash]
    expect(output).toEqual([`t1:search:${a}-1`, `t1:search:${a}-2`, `t1:send:${b}`])
    expect(agent.of('call_ended')[0]).not.toHaveProperty('result')
  })

  test.each([
    { with: { name: '' }, code: 'PRUNELLA_INVALID', text: 'A step needs a text' },
    { with: { name: 'x'.repeat(501) }, code: 'PRUNELLA_INVALID', text: 'A step needs a text' },
    { with: { options: { key: '' } }, code: 'PRUNELLA_INVALID', text: 'The key of Step "x"' },
    { with: { options: { timeout: '5s' } }, code: 'PRUNELLA_INVALID', text: 'milliseconds' },
    { with: { options: { repeat: 'once' } }, code: 'PRUNELLA_INVALID', text: 'ask_human' },
    { with: { options: { repeat: 'check_first' } }, code: 'PRUNELLA_INVALID', text: 'has no check' },
    { with: { result: 'circular' }, code: 'PRUNELLA_INVALID', text: 'step "x" cannot be written as JSON' },
    { with: { result: 'bigint' }, code: 'PRUNELLA_INVALID', text: 'step "x" cannot be written as JSON' },
    { with: { result: 'large' }, code: 'PRUNELLA_TOO_LARGE', text: 'step "x" has 524289 bytes' },
  ])('misuse is named: $text', async ({ with: input, code, text }) => {
    const agent = await actor()
    agent.task('t1', { do: 'misuse', ...input })
    expect((await agent.frame('done')).output).toEqual({ code, message: expect.stringContaining(text) })
  })

  test('more calls at once than are watched wait for their place', async () => {
    const agent = await actor({ acknowledge: false })
    agent.task('t1', { do: 'many' })
    await agent.frame('call_ended', {}, limits.openCalls)
    agent.send({ type: 'ping', ping: 1 })
    await agent.frame('pong')
    expect(agent.of('call_started')).toHaveLength(limits.openCalls)
    for (let n = 1; n <= 600; n += 1) {
      const { call } = await agent.frame('call_ended', {}, n)
      agent.ack('t1', call, 'end')
    }
    expect((await agent.frame('done')).output).toEqual(Array.from({ length: 600 }, (_, n) => n))
  })

  test('a wait ends by its end, by the next word, and is known before the thread blocks', async () => {
    const agent = await actor()
    agent.task('t1', { do: 'waiting' })
    await agent.frame('call_started', { name: 'a compiler' })
    expect(agent.of('done')).toEqual([])
    await agent.frame('done')
    const story = agent.frames.slice(4).map((frame) => ('call' in frame ? `${frame.type} ${frame.call}` : frame.type))
    expect(story).toEqual([
      ...['call_started 1', 'call_ended 1', 'call_started 2', 'call_ended 2', 'progress'],
      ...['call_started 3', 'call_ended 3', 'call_started 4', 'call_ended 4', 'done'],
    ])
    expect(agent.of('call_started')[2]).toMatchObject({ kind: 'wait', blocking: true, timeoutMs: 60_000 })
  })
})

describe('a reset', () => {
  test('of what is not here is answered at once, of what is queued too', async () => {
    const agent = await actor()
    agent.task('t1', { do: 'hang' }).task('t2', { do: 'echo' })
    agent.send({ type: 'reset', task: 'other', fence: 9, reason: 'x' })
    agent.send({ type: 'reset', task: 't1', fence: 2, reason: 'x' })
    agent.send({ type: 'reset', task: 't2', fence: 1, reason: 'x' })
    await agent.frame('reset_ok', { task: 't2' })
    expect(agent.of('reset_ok').map(({ task }) => task)).toEqual(['other', 't1', 't2'])
    expect(agent.stdout).toBe('')
  })

  test('rejects open calls at once, refuses later ones, waits for deaf functions, then resets and goes on', async () => {
    const agent = await actor({ concurrency: 2 })
    agent.task('t1', { do: 'deaf_step', forever: true })
    await agent.frame('call_started', { name: 'deaf' })
    agent.send({ type: 'reset', ...name, reason: 'no progress for 60 s' })
    const said = ['step: PRUNELLA_ABORTED', ...Array(3).fill('late: PRUNELLA_STALE_FENCE')]
    expect(await lines(agent, 4)).toEqual(said)
    // Its run() has returned, its functions have not: no answer, and its place is not free.
    agent.task('t2', { do: 'late' })
    expect((await agent.frame('done', { task: 't2' })).output).toBe('PRUNELLA_STALE_FENCE')
    agent.send({ type: 'ping', ping: 1 })
    await agent.frame('pong')
    expect(agent.of('reset_ok')).toEqual([])
    expect(agent.of('failed')).toEqual([])
  })

  test.each([
    { reset: 'works', answer: 'reset_ok' },
    { reset: 'fails', answer: 'reset_failed' },
  ] as const)(
    'is answered when everything has settled and reset() was called, which $reset',
    async ({ reset, answer }) => {
      const agent = await actor({ concurrency: 2 })
      agent.task('t1', { do: 'deaf_step', reset })
      await agent.frame('call_started', { name: 'deaf' })
      agent.send({ type: 'reset', ...name, reason: 'cancelled' })
      await lines(agent, 4)
      agent.task('t2', { do: 'release', task: 't1' }).task('t3', { do: 'hang' }).task('t4', { do: 'echo' })
      expect(await agent.frame(answer)).toMatchObject(
        reset === 'works' ? name : { ...name, error: { message: 'cannot forget' } },
      )
      await agent.frame('done', { task: 't4' }) // Its place is free again.
      expect(agent.of('log').map(({ message }) => message)).toEqual(['setting up pool/0', 'reset t1'])
      expect(agent.of('failed')).toEqual([])
    },
  )

  test('is not needed for calls that a finished task left open: they are cut off, and the place is free', async () => {
    const agent = await actor()
    agent.task('t1', { do: 'leaves_open' }).task('t2', { do: 'echo' })
    await agent.frame('done', { task: 't2' })
    expect(agent.of('call_ended')).toHaveLength(1)
    expect(agent.stderr).toBe('')
  })

  test('a refused acknowledgement ends the attempt', async () => {
    const agent = await actor({ acknowledge: false })
    agent.task('t1', { do: 'steps' })
    await agent.frame('call_ended')
    agent.ack('t1', 1, 'end', false).task('t2', { do: 'echo' })
    await agent.frame('done', { task: 't2' })
    expect(agent.of('failed')).toEqual([])
    expect(agent.of('call_started')).toHaveLength(1)
  })
})
