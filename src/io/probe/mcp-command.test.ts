import { describe, expect, test } from 'vitest'
import type { CheckResult } from '../../model/probe.ts'
import type { LaunchEvents, Launcher } from '../../port/launcher.ts'
import { createCommandCheck } from './mcp-command.ts'

interface Asked {
  readonly id?: number | string
  readonly method?: string
  readonly params?: { readonly cursor?: string }
}

/** A server that answers each line by a script, and whose end comes when the test says so. */
function server(script: (asked: Asked, say: (...lines: readonly unknown[]) => void, events: LaunchEvents) => void) {
  const heard: Asked[] = []
  const ends: PromiseWithResolvers<void>[] = []
  const launcher: Launcher = {
    launch(_what, events) {
      const ended = Promise.withResolvers<void>()
      ends.push(ended)
      const say = (...lines: readonly unknown[]): void => {
        const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n')
        events.output(Buffer.from(`${text}\n`))
      }
      return {
        write(text) {
          for (const line of text.split('\n').filter(Boolean)) {
            const asked: Asked = JSON.parse(line)
            heard.push(asked)
            script(asked, say, events)
          }
        },
        end: () => ended.promise,
      }
    },
  }
  const checkCommand = createCommandCheck(launcher)
  const check = (tool: string | null = 'search', signal = new AbortController().signal): Promise<CheckResult> =>
    checkCommand('it', { ...command, tool }, signal)
  return { heard, ends, check }
}

const command = { kind: 'mcp_command', command: ['x'], environment: { pass: [], set: {} } } as const

const pages = {
  '': { tools: [{ name: 'first' }, null], nextCursor: 'more' },
  more: { tools: [{ name: 'search' }] },
}

/** What a well server says. */
function answer({ id, method, params }: Asked): unknown {
  const result =
    method === 'initialize' ? { protocolVersion: '2025-06-18' } : pages[params?.cursor === 'more' ? 'more' : '']
  return { jsonrpc: '2.0', id, result }
}

const well = server((asked, say) => asked.id === undefined || say(answer(asked)))

describe('a server that is started for its check', () => {
  test.each([
    { name: 'a tool of the second page', tool: 'search', result: { ok: true } },
    { name: 'no tool asked for', tool: null, result: { ok: true } },
    { name: 'a tool that is not there', tool: 'none', result: { ok: false, reason: 'the server has no tool "none"' } },
  ])('$name', async ({ tool, result }) => {
    const { heard, ends, check } = well
    heard.length = 0
    expect(await check(tool)).toEqual(result)
    expect(heard.slice(0, 3).map(({ method }) => method)).toEqual([
      'initialize',
      'notifications/initialized',
      'tools/list',
    ])
    ends.pop()?.resolve()
  })

  test('chatter between its answers, answers in pieces, and questions of its own', async () => {
    const { heard, check } = server((asked, say, events) => {
      if (asked.id === undefined || asked.method === undefined) return
      say('Server listening', 'null', '[1]', { method: 'note' }, { id: 99, result: {} }, { id: 'q', method: 'ping' })
      say({ id: 'r', method: 'roots/list' })
      const line = Buffer.from(`${JSON.stringify(answer(asked))}\r\n`)
      events.output(line.subarray(0, 9))
      events.output(line.subarray(9))
    })
    expect(await check()).toEqual({ ok: true })
    expect(heard).toContainEqual({ jsonrpc: '2.0', id: 'q', result: {} })
    expect(heard).toContainEqual({
      jsonrpc: '2.0',
      id: 'r',
      error: { code: -32_601, message: 'Prunella only checks' },
    })
  })

  test.each([
    {
      name: 'ends at once',
      script: (_asked: Asked, _say: unknown, events: LaunchEvents) => events.ended('it ended with exit code 1: oh'),
      reason: 'initialize: it ended with exit code 1: oh',
    },
    {
      name: 'refuses',
      script: ({ id }: Asked, say: (line: unknown) => void) => say({ id, error: { code: -1, message: 'not now' } }),
      reason: 'initialize: not now',
    },
    {
      name: 'never ends a line',
      script: (_asked: Asked, _say: unknown, events: LaunchEvents) => {
        for (let at = 0; at < 17; at += 1) events.output(Buffer.alloc(65_536, 'x'))
      },
      reason: 'initialize: more than 1048576 bytes on its standard output',
    },
    {
      name: 'goes between two answers',
      script: (asked: Asked, say: (line: unknown) => void, events: LaunchEvents) =>
        asked.method === 'initialize' ? say(answer(asked)) : events.ended('it ended by SIGKILL'),
      reason: 'tools/list: it ended by SIGKILL',
    },
  ])('one that $name', async ({ script, reason }) => {
    const { check, ends } = server(script)
    expect(await check()).toEqual({ ok: false, reason })
    expect(ends).toHaveLength(1)
  })

  test('one that says nothing is ended when the check is given up', async () => {
    const time = new AbortController()
    const { check, ends } = server(() => time.abort())
    expect(await check('search', time.signal)).toEqual({ ok: false, reason: 'initialize: the check was given up' })
    expect(ends).toHaveLength(1)
  })

  test('one that does not die is not started again before it has', async () => {
    const { check, ends } = server((asked, say) => asked.id === undefined || say(answer(asked)))
    expect(await check()).toEqual({ ok: true })
    const time = new AbortController()
    const second = check('search', time.signal)
    time.abort(new Error('no time left'))
    ends[0]?.resolve()
    await expect(second).rejects.toThrow('no time left')
    expect(ends).toHaveLength(1)
    expect(await check()).toEqual({ ok: true })
    expect(ends).toHaveLength(2)
  })
})
