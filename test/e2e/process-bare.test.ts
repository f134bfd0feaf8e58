import { afterEach, describe, expect, test } from 'vitest'
import type { Observation } from '../../src/model/observation.ts'
import { bareAgent, closeHosts, type Harness, lookAt, poolSpec, replica, startHost } from '../process-harness.ts'
import { until } from '../until.ts'

let on: Harness
afterEach(closeHosts)

const bare = (script: string, concurrency = 1) => poolSpec('', { agent: bareAgent('sh', '-c', script), concurrency })
const begin = async (script: string, concurrency = 1) => {
  on = startHost([bare(script, concurrency)])
  on.spawn()
  await on.see('ready')
}
const of = (taskId: string) => on.observations.filter((seen) => 'taskId' in seen && seen.taskId === taskId)
const has = (taskId: string, kind: Observation['kind']) =>
  until(() => of(taskId).some((seen) => seen.kind === kind), {
    timeoutMs: 5_000,
    what: `${kind} of ${taskId}`,
    everyMs: 2,
  })

describe('a command without protocol', () => {
  test('input on stdin, result on stdout, one process a task, output is progress', async () => {
    await begin('cat; echo working >&2')
    expect(on.observations.slice(0, 2)).toMatchObject([
      { kind: 'spawned', pid: 0, startTicks: null },
      { kind: 'ready', checks: [], resettable: false, compactable: false },
    ])
    on.dispatch('t1', { a: [1, 2] })
    await has('t1', 'done')
    expect(of('t1').map(({ kind }) => kind)).toEqual(['started', 'progress', 'done'])
    expect(of('t1').at(-1)).toMatchObject({ output: { a: [1, 2] } })
    await on.see('pulse')
    expect(on.host.logs(replica).map(({ text }) => text)).toEqual(['working'])
  })

  test('who does not read its input is not hurt by it', async () => {
    await begin('echo done')
    on.dispatch('t1', 'x'.repeat(400_000))
    await has('t1', 'done')
    expect(of('t1').at(-1)).toMatchObject({ output: 'done' })
  })

  test('a code is failed, with code and words; the next task runs', async () => {
    await begin('read line; if [ "$line" = \'"bad"\' ]; then echo "no such thing" >&2; exit 3; fi; echo fine')
    on.dispatch('t1', 'bad')
    on.dispatch('t2', 'good\n')
    await has('t2', 'done')
    expect(of('t1').at(-1)).toMatchObject({
      kind: 'failed',
      error: { code: 'EXIT_3', message: expect.stringContaining('no such thing') },
    })
  })

  test('only `concurrency` at once, in order', async () => {
    await begin('while [ ! -e "$PRUNELLA_ROOT/nothing" ]; do sleep 0.02; done', 2)
    for (const id of ['t1', 't2', 't3']) on.dispatch(id, null)
    await has('t2', 'started')
    on.apply({ kind: 'reset', replica, incarnation: 1, taskId: 't1', fence: 1, reason: 'test' })
    await has('t1', 'reset_ok')
    await has('t3', 'started')
    const order = on.observations.flatMap((seen) =>
      seen.kind === 'started' || seen.kind === 'reset_ok' ? [`${seen.kind} ${seen.taskId}`] : [],
    )
    expect(order.indexOf('started t3')).toBeGreaterThan(order.indexOf('reset_ok t1'))
    expect(of('t1').map(({ kind }) => kind)).not.toContain('failed')
  })

  test('a reset of what waits, or was never here, is answered at once', async () => {
    await begin('sleep 60')
    on.dispatch('t1', null)
    on.dispatch('t2', null)
    on.apply({ kind: 'reset', replica, incarnation: 1, taskId: 't2', fence: 1, reason: 'test' })
    on.apply({ kind: 'reset', replica, incarnation: 1, taskId: 't9', fence: 1, reason: 'test' })
    expect([of('t2'), of('t9')]).toMatchObject([[{ kind: 'reset_ok' }], [{ kind: 'reset_ok' }]])
  })

  test('a death by signal ends the incarnation, with its siblings', async () => {
    await begin('read line; if [ "$line" = \'"die"\' ]; then kill -SEGV $$; fi; sleep 60', 2)
    on.dispatch('t1', 'wait')
    await has('t1', 'started')
    on.dispatch('t2', 'die')
    expect(await on.see('exited')).toMatchObject({ signal: 'SIGSEGV', cause: 'signal' })
    expect(of('t1').map(({ kind }) => kind)).toEqual(['started'])
    on.spawn(2)
    await until(() => on.observations.some((seen) => seen.kind === 'ready' && seen.incarnation === 2), {
      timeoutMs: 2_000,
      what: 'incarnation 2',
    })
  })

  test('told to end, it ends; what it says then is no result', async () => {
    await begin('trap "echo half; exit 0" TERM; echo up >&2; while true; do sleep 0.05; done')
    on.dispatch('t1', null)
    await has('t1', 'progress')
    on.apply({ kind: 'terminate', replica, incarnation: 1, graceMs: 2_000 })
    expect(await on.see('exited')).toMatchObject({ code: 0, signal: null })
    expect(of('t1').map(({ kind }) => kind)).toEqual(['started', 'progress'])
  })

  test('told to end without a task, it ends at once', async () => {
    await begin('cat')
    on.apply({ kind: 'terminate', replica, incarnation: 1, graceMs: 1_000 })
    expect(await on.see('exited', 500)).toMatchObject({ code: 0, signal: null, cause: 'exit' })
  })

  test('too much output is a failure with a way out', async () => {
    await begin('head -c 2000000 /dev/zero | tr "\\0" x; sleep 60')
    on.dispatch('t1', null)
    await has('t1', 'failed')
    expect(of('t1').at(-1)).toMatchObject({ error: { code: 'PRUNELLA_TOO_LARGE' } })
  })

  test('stopped, its pulse stops and it is seen as stopped', async () => {
    await begin('echo $$ >&2; kill -STOP $$; sleep 60')
    on.dispatch('t1', null)
    await until(async () => (await lookAt(on)).state === 'T', { timeoutMs: 5_000, what: 'a stopped process' })
    const pulses = (name: string) =>
      on.observations.filter((seen) => seen.kind === 'pulse' && seen.replica === name).length
    const before = pulses(replica)
    on.spawn(1, 'pool/1')
    await until(() => pulses('pool/1') >= 5, { timeoutMs: 5_000, what: 'five pulses of an idle neighbour' })
    expect(pulses(replica)).toBe(before)
  })

  test('a command that is not there', async () => {
    on = startHost([poolSpec('', { agent: bareAgent('no-such-program') })])
    on.spawn()
    expect((await on.see('spawn_failed')).error.code).toBe('ENOENT')
    expect(on.observations).toHaveLength(1)
  })
})
