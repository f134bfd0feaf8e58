import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { agentFixture, removeTestFolders, type TestNode, testNode } from '../node.ts'
import { until } from '../until.ts'

const trouble = agentFixture('trouble.ts')
let running: TestNode | null = null

async function start(...args: Parameters<typeof testNode>): Promise<TestNode> {
  running = await testNode(...args)
  return running
}

afterEach(async () => {
  await running?.stop()
  running = null
})
afterAll(removeTestFolders)

describe('a pool of real processes', () => {
  test('a task runs, and its steps and attempts are on record', async () => {
    const { submit, settled } = await start({ pools: { p: { agent: trouble, replicas: { min: 2, max: 2 } } } })
    const task = await settled(await submit('p', {}))
    expect(task).toMatchObject({ status: 'done', attempts: [{ attempt: 1, outcome: 'done', counted: true }] })
    expect(task.steps.map((step) => [step.name, step.state])).toEqual([
      ['step 0', 'done'],
      ['step 1', 'done'],
      ['step 2', 'done'],
    ])
  })

  test('SIGKILL in mid-task: another replica finishes it from the journal', async () => {
    const { door, submit, settled, ready } = await start({
      pools: { p: { agent: trouble, replicas: { min: 2, max: 2 } } },
    })
    await ready(2)
    const id = await submit('p', { steps: 50 })
    const busy = await until(
      () => door.replicas().find((replica) => replica.tasks.some((task) => task.runningMs > 200)),
      {
        timeoutMs: 10_000,
        what: 'a replica in mid-task',
      },
    )
    process.kill(busy.pid ?? 0, 'SIGKILL')
    const task = await settled(id)
    expect(task).toMatchObject({ status: 'done', output: { attempt: 2 } })
    expect(task.attempts.map((attempt) => [attempt.replica === busy.name, attempt.outcome])).toEqual([
      [true, 'crashed'],
      [false, 'done'],
    ])
    const first = task.attempts[0]?.endedMs ?? 0
    expect(task.steps.filter((step) => step.startedMs < first).length).toBeGreaterThan(3)
    await ready(2)
    const [incident] = (await door.incidents({ limit: 1 })).rows
    expect(incident).toMatchObject({ replica: busy.name, fault: { kind: 'crashed' }, status: 'probation' })
    expect((await door.why(busy.name))?.text).toContain('SIGKILL')
  })

  test('a crash that follows one task buries the task and quarantines nobody', async () => {
    const { door, submit, settled } = await start({ pools: { p: { agent: trouble, replicas: { min: 3, max: 3 } } } })
    const good = await Promise.all(Array.from({ length: 40 }, () => submit('p', {})))
    const bad = await submit('p', { do: 'crash' })
    const buried = await settled(bad)
    expect(buried.status).toBe('dead_letter')
    expect(buried.attempts.filter((attempt) => attempt.outcome === 'crashed').length).toBeLessThanOrEqual(3)
    expect(buried.reason).toContain('poison')
    for (const id of good) expect((await settled(id)).status).toBe('done')
    expect(door.replicas().map((replica) => [replica.phase === 'quarantined', replica.strikes])).toEqual([
      [false, 0],
      [false, 0],
      [false, 0],
    ])
  })

  test('a failing task uses up its attempts and restarts nobody', async () => {
    const { door, submit, settled } = await start({
      pools: { p: { agent: trouble, replicas: { min: 1, max: 1 }, retry: { attempts: 2, backoff: { base: '10ms' } } } },
    })
    const task = await settled(await submit('p', { do: 'fail' }))
    expect(task).toMatchObject({ status: 'failed', error: { message: 'it cannot be done' }, countedAttempts: 2 })
    expect(door.replicas().map((replica) => replica.incarnation)).toEqual([1])
  })

  test('a replica that stalls on every task walks the whole ladder; capacity is kept; release brings it back', async () => {
    const { door, submit, settled } = await start({
      pools: {
        p: {
          agent: trouble,
          replicas: { min: 2, max: 2 },
          deadlines: { tool: '150ms' },
          recovery: { backoff: { base: '10ms' }, reset: '1s', grace: '1s' },
          retry: { attempts: 20 },
          environment: { set: { BAD_REPLICA: 'p/0' } },
        },
      },
    })
    const quarantined = () =>
      door.replicas().some((replica) => replica.name === 'p/0' && replica.phase === 'quarantined')
    const ids: string[] = []
    await until(
      async () => {
        if (!quarantined()) ids.push(await submit('p', {}), await submit('p', {}))
        return quarantined()
      },
      { timeoutMs: 40_000, what: 'the quarantine of p/0', everyMs: 100 },
    )
    const [incident] = (await door.incidents({ replica: 'p/0', limit: 1 })).rows
    expect(incident?.actions.map((action) => action.kind)).toEqual([
      'soft_restart',
      'soft_restart',
      'hard_restart',
      'hard_restart',
      'hard_restart',
      'quarantine',
    ])
    expect(incident?.status).toBe('needs_review')
    for (const id of ids) expect((await settled(id)).status).toBe('done')
    await until(() => door.replicas().filter((replica) => replica.ready).length === 2, {
      timeoutMs: 10_000,
      what: 'kept capacity',
    })
    expect(await door.metrics()).toMatch(/prunella_recoveries_total\{[^}]*action="quarantine"[^}]*\} 1/)
    expect(running?.lines.some((line) => line.startsWith('quarantine:'))).toBe(true)
    const answer = await door.operate({ kind: 'release', replica: 'p/0' }, 'ada', 'the disk was replaced')
    expect(answer).toMatchObject({ kind: 'accepted' })
    await until(() => door.replicas().some((replica) => replica.name === 'p/0' && replica.ready), {
      timeoutMs: 10_000,
      what: 'p/0 back',
    })
    expect((await door.audit(1))[0]).toMatchObject({
      who: 'ada',
      what: 'release',
      target: 'p/0',
      reason: 'the disk was replaced',
    })
  }, 60_000)

  test('an agent that cannot start: the pool is held with one canary and one alert', async () => {
    const { door, node } = await start({
      pools: {
        p: {
          agent: agentFixture('broken-setup.ts'),
          replicas: { min: 3, max: 3 },
          recovery: { backoff: { base: '20ms' } },
        },
      },
    })
    await until(() => door.pools()[0]?.hold, { timeoutMs: 15_000, what: 'the hold' })
    expect(door.pools()[0]?.hold?.cause).toBe('defective_agent')
    expect(
      (await door.incidents({ status: 'needs_review', limit: 10 })).rows.map((incident) => incident.fault.kind),
    ).toEqual(['defective_agent'])
    expect(door.replicas().some((replica) => replica.phase === 'quarantined')).toBe(false)
    expect(door.health('readiness', { pool: 'p' })?.status).toBe('unhealthy')
    expect(node.url).toBeNull()
  })

  test('a stopped node hands its tasks back, and the next one on the same store finishes them', async () => {
    const pools = { p: { agent: trouble, replicas: { min: 1, max: 1 } } }
    const first = await start({ pools, shutdown: '100ms' })
    const id = await first.submit('p', { steps: 200 })
    await until(() => first.door.replicas()[0]?.tasks[0]?.runningMs, { timeoutMs: 10_000, what: 'the task to run' })
    await first.stop()
    const second = await start({ pools }, first.folder)
    const task = await second.settled(id)
    expect(task).toMatchObject({ status: 'done', output: { attempt: 2 }, countedAttempts: 1 })
    expect(second.door.replicas()[0]?.incarnation).toBe(2)
  })
})
