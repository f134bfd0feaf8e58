import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/model/limits.ts'
import { killAgentsAfterEach, start as startAgent } from '../agents.ts'
import type { FakeSupervisor } from '../fake-supervisor.ts'

killAgentsAfterEach()

const start = (file: string, concurrency = 1): Promise<FakeSupervisor> => startAgent(file, { concurrency }).ready()
/** Everything the agent was sent before has been read. */
const settled = async (agent: FakeSupervisor): Promise<void> => {
  const ping = agent.of('pong').length
  agent.send({ type: 'ping', ping })
  await agent.frame('pong', { ping })
}
const name = { task: 't1', fence: 1 }
const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

describe('a dependency', () => {
  test.each([
    { how: 'plain', dependency: 'db', blamed: 'db' },
    { how: 'plain', dependency: undefined, blamed: undefined },
    { how: 'named', dependency: undefined, blamed: 'search' },
    { how: 'named', dependency: 'db', blamed: 'search' },
    { how: 'wrapped', dependency: undefined, blamed: 'search' },
    { how: 'nested', dependency: 'db', blamed: 'inner-db' },
    { how: 'misuse', dependency: 'db', blamed: undefined },
    { how: 'text', dependency: 'db', blamed: undefined },
  ])('of a failed call ($how, $dependency) is said of the call and of the task: $blamed', async (input) => {
    const agent = await start('actor.ts')
    agent.task('t1', { do: 'blames', ...input })
    const { error } = await agent.frame('failed')
    const ended = agent.of('call_ended').at(-1)
    expect([ended?.error?.dependency, error.dependency]).toEqual([input.blamed, input.blamed])
    const started = agent.of('call_started')[0]
    expect(started?.dependency).toBe(input.dependency)
    expect(ended?.call).toBe(started?.call)
  })

  test('must have a name', async () => {
    const agent = await start('actor.ts')
    agent.task('t1', { do: 'misuse', options: { dependency: 'my database' } })
    const message = expect.stringContaining('needs a dependency')
    expect((await agent.frame('done')).output).toEqual({ code: 'PRUNELLA_INVALID', message })
  })
})

test('results of tools have prints, steps have none, and errors are printed by name and message', async () => {
  const agent = await start('actor.ts')
  agent.task('t1', { do: 'prints', results: [{ b: 1, a: [20] }, { a: [7], b: 1 }, ''] })
  await agent.frame('done')
  const [first, second, third, kept, unseen, step, failed] = agent.of('call_ended').map(({ print }) => print)
  const json = '{"a":[20],"b":1}'
  expect(first).toEqual({ hash: hashOf(json), folded: hashOf('{"a":[#],"b":#}'), length: json.length })
  expect(second).toEqual({ hash: hashOf('{"a":[7],"b":1}'), folded: first?.folded, length: 15 })
  expect(third).toMatchObject({ length: 0 })
  expect(kept).toEqual(first)
  expect([unseen, step]).toEqual([undefined, undefined])
  expect(failed).toMatchObject({ folded: hashOf('{"message":"no line #","name":"RangeError"}') })
})

test('model calls and user turns; the text of an answer stays in its process', async () => {
  const agent = await start('actor.ts')
  const full = { provider: 'openai', model: 'gpt', promptTokens: 10, completionTokens: 2, usd: 0.5, windowTokens: 100 }
  const calls = [
    { ...full, toolCalls: 0, text: 'I will look into it.' },
    { failure: 'rate_limited', model: 'x'.repeat(600) },
    {},
    ...[{ promptTokens: -1 }, { usd: 'much' }, { failure: 'tired' }, { text: 7 }, { model: null }],
  ]
  agent.task('t1', { do: 'models', calls })
  await agent.frame('done')
  const json = '"I will look into it."'
  expect(agent.of('model_called')).toEqual([
    { type: 'model_called', ...name, ...full, toolCalls: 0, textHash: hashOf(json), textLength: json.length },
    { type: 'model_called', ...name, model: 'x'.repeat(limits.noteLength), failure: 'rate_limited' },
    { type: 'model_called', ...name },
  ])
  expect(agent.stdout.split('\n').slice(0, 5)).toEqual(
    ['promptTokens', 'usd', 'failure', 'text', 'model'].map((field) =>
      expect.stringContaining(`model call's ${field} must`),
    ),
  )
  expect(agent.frames.slice(-2).map(({ type }) => type)).toEqual(['user_turn', 'done'])
})

describe('a budget', () => {
  const over = 'PRUNELLA_BUDGET_EXCEEDED'
  test.each([
    { left: { tokens: 30, calls: 9 }, told: 2, found: [{ tokens: 30, calls: 9 }, { tokens: 6, calls: 7 }, '1', '1'] },
    { left: { tokens: 24 }, told: 2, found: [{ tokens: 24 }, { tokens: 0 }, over, over] },
    { left: { usd: 0.4 }, told: 2, found: [{ usd: 0.4 }, over, { usd: expect.closeTo(-0.6) }, over, over] },
    { left: { calls: 0 }, told: 2, found: [{ calls: 0 }, over, over, { calls: -2 }, over, over] },
    { left: undefined, told: 2, found: [{}, {}, '1', '1'] },
  ])('of $left', async ({ left, told, found }) => {
    const agent = await start('actor.ts')
    const call = { promptTokens: 10, completionTokens: 2, usd: 0.5 }
    agent.task('t1', { do: 'spends', calls: [call, call] }, left === undefined ? {} : { left })
    const { output } = await agent.frame('done')
    const wait = found.at(-1) === '1' ? 'undefined' : over
    expect(output).toEqual([...found, wait])
    // A call that went over was made: it is told all the same.
    expect(agent.of('model_called')).toHaveLength(told)
    expect(agent.of('call_started')).toHaveLength(wait === over ? 0 : 3)
  })

  test('is not spent by calls that failed', async () => {
    const agent = await start('actor.ts')
    const failed = { failure: 'overloaded' }
    agent.task('t1', { do: 'spends', calls: [failed, failed, { promptTokens: 1 }] }, { left: { calls: 1, tokens: 5 } })
    const { output } = await agent.frame('done')
    expect(output).toEqual([{ calls: 1, tokens: 5 }, { calls: 0, tokens: 4 }, over, over, over])
  })
})

test('nudges are read once, the newest are kept, and those for others are dropped', async () => {
  const agent = await start('actor.ts', 2)
  agent.task('t1', { do: 'listens' })
  await agent.frame('progress')
  for (let n = 1; n <= limits.nudgesKept + 2; n += 1) agent.send({ type: 'nudge', ...name, text: `hint ${n}` })
  agent.send({ type: 'nudge', task: 't1', fence: 2, text: 'another attempt' })
  agent.send({ type: 'nudge', task: 't9', fence: 1, text: 'another task' })
  agent.task('t2', { do: 'release', task: 'listens' })
  const { output } = await agent.frame('done', { task: 't1' })
  expect(output).toEqual([Array.from({ length: limits.nudgesKept }, (_, n) => `hint ${n + 3}`), []])
})

test('the last attempt: what not to do again is handed on, and is nothing where an older version kept none', async () => {
  const agent = await start('actor.ts')
  const previous = { attempt: 1, outcome: 'stalled', evidence: ['a loop'], doNot: ['call search again'] } as const
  const task = { type: 'task', fence: 1, attempt: 2, input: { do: 'echo' }, deadlineMs: null } as const
  agent.send({ ...task, task: 't1', previous })
  expect((await agent.frame('done', { task: 't1' })).output).toMatchObject({ previous })
  const { doNot: _, ...older } = previous
  agent.send({ ...task, task: 't2', previous: older as typeof previous })
  expect((await agent.frame('done', { task: 't2' })).output).toMatchObject({ previous: { ...older, doNot: [] } })
})

describe('compaction', () => {
  const ask = (agent: FakeSupervisor, task = 't1') =>
    agent.send({ type: 'compact', task, fence: 1, timeoutMs: 1_000, reason: '90 % of the window' })
  const working = async (compact: string, concurrency = 1) => {
    const agent = await start('compacting.ts', concurrency)
    expect(agent.of('ready')).toMatchObject([{ compactable: true }])
    agent.task('t1', { compact })
    await agent.frame('progress')
    return agent
  }

  test.each([
    { how: 'shrinks', answer: { type: 'compacted', ...name, tokens: 1_234 } },
    { how: 'is silent', answer: { type: 'compacted', ...name } },
    { how: 'fails', answer: { type: 'compact_failed', ...name, error: { name: 'RangeError' } } },
  ] as const)('that $how is answered, with the context of the run, and may come again', async ({ how, answer }) => {
    const agent = await working(how)
    for (const nth of [1, 2]) expect(await ask(agent).frame(answer.type, {}, nth)).toMatchObject(answer)
    expect(agent.of('progress').map(({ note }) => note)).toEqual(['working', 'compacting t1', 'compacting t1'])
    expect(agent.of('done')).toEqual([])
  })

  test('is done once at a time; a reset waits for it, and it is not answered any more', async () => {
    const agent = await working('waits', 2)
    ask(ask(agent))
    await agent.frame('progress', { note: 'compacting t1' })
    await settled(agent)
    expect(agent.of('progress')).toHaveLength(2)
    agent.send({ type: 'reset', ...name, reason: 'its context is still too large' })
    await settled(agent)
    expect(agent.of('reset_ok')).toEqual([]) // The function still runs.
    agent.task('t2', { compact: 'release' })
    await agent.frame('reset_ok', { task: 't1' })
    expect([...agent.of('compacted'), ...agent.of('compact_failed')]).toEqual([])
  })

  test('of an agent that has none, and of a task that is not running', async () => {
    const agent = await start('actor.ts')
    agent.task('t1', { do: 'hang' })
    await agent.frame('progress')
    ask(agent)
    expect((await agent.frame('compact_failed', { task: 't1' })).error.name).toBe('NotSupported')
    ask(agent, 't7')
    expect((await agent.frame('compact_failed', { task: 't7' })).error.name).toBe('NotRunning')
  })
})
