import { expect, test } from 'vitest'
import { until } from '../../../test/until.ts'
import type { ResolvedConfig } from '../../model/config.ts'
import type { Up } from '../command.ts'
import type { Io } from '../io.ts'
import { type RunningNode, run } from './up.ts'

const command: Up = { name: 'up', chaos: false, json: false }
const config = { pools: [{}], shutdownMs: 30_000, stateFolder: 'state' } as unknown as ResolvedConfig

function world() {
  const said: string[] = []
  const stopped = Promise.withResolvers<void>()
  const failed = Promise.withResolvers<void>()
  let signal = () => {}
  let tell: Parameters<RunningNode['door']['subscribe']>[1] = () => {}
  const calls: string[] = []
  const io = {
    out: (line: string) => void said.push(line),
    err: (line: string) => void calls.push(`err ${line}`),
    token: null,
    onStop: (listener: () => void) => {
      signal = listener
      return () => void calls.push('release')
    },
  } as unknown as Io
  const node: RunningNode = {
    url: 'http://127.0.0.1:8080',
    door: {
      subscribe: (_, listener) => {
        tell = listener
        return { stop: () => undefined }
      },
    },
    stop: () => {
      calls.push('stop')
      return stopped.promise
    },
    hurry: () => {
      calls.push('hurry')
      stopped.resolve()
    },
    finished: failed.promise,
  }
  const starting = { loadConfig: async () => config, loadToken: async () => 'made', startNode: async () => node }
  const ended = (outcome: 'done' | 'returned') => tell({ notice: { kind: 'attempt_ended', outcome } })
  return { io, starting, said, calls, stopped, failed, signal: () => signal(), ended }
}

const upAndSaid = (said: readonly string[]) => until(() => said.length > 0, { timeoutMs: 2_000, what: 'the link' })

test('the first signal drains and says what was done', async () => {
  const { io, starting, said, calls, stopped, signal, ended } = world()
  const code = run(command, io, starting)
  await upAndSaid(said)
  expect(said[0]).toBe('Prunella is up with 1 pool: http://127.0.0.1:8080/#token=made')
  signal()
  await until(() => calls.includes('stop'), { timeoutMs: 2_000, what: 'the drain' })
  ended('done')
  ended('returned')
  ended('done')
  stopped.resolve()
  expect(await code).toBe(0)
  expect(calls).toEqual(['stop', 'release'])
  expect(said.at(-1)).toBe('Stopped. 2 tasks finished, 1 handed back for the next start.')
})

test('the second signal hurries', async () => {
  const { io, starting, said, calls, signal } = world()
  const code = run(command, io, starting)
  await upAndSaid(said)
  signal()
  signal()
  await until(() => calls.includes('stop'), { timeoutMs: 2_000, what: 'the drain' })
  expect(await code).toBe(0)
  expect(calls).toContain('hurry')
})

test('a node that failed fails the command', async () => {
  const { io, starting, said, calls, failed } = world()
  const code = run(command, io, starting)
  await upAndSaid(said)
  failed.reject(new Error('the store is gone'))
  await expect(code).rejects.toThrow('the store is gone')
  expect(calls).toEqual(['release'])
})

test('with --json the link is the one object on standard output', async () => {
  const { io, starting, said, stopped, signal } = world()
  const code = run({ ...command, json: true }, io, starting)
  await upAndSaid(said)
  signal()
  stopped.resolve()
  await code
  expect(said.map((line) => JSON.parse(line))).toEqual([
    { url: 'http://127.0.0.1:8080', link: 'http://127.0.0.1:8080/#token=made' },
  ])
})
