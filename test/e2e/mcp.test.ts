import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { TaskView } from '../../src/model/task.ts'
import { agentFixture, removeTestFolders, type TestNode, testNode } from '../node.ts'
import { carriers, ToolWorld, toolFaults } from '../tool-world.ts'
import { until } from '../until.ts'

let world: ToolWorld | null = null
let node: TestNode | null = null

afterEach(async () => {
  await node?.stop()
  await world?.end()
  node = null
  world = null
})
afterAll(removeTestFolders)

const search = { word: 'heal' }
const read = { title: 'A history of restarts' }
const found = { text: 'The herb called self-heal grows back where it was cut.' }

/** Asked soon when something fails, so its own rhythm may be slow: starting a server costs as much as a test. */
const checked = { period: '5s', timeout: '2s', breaker: { probe: '300ms', ramp: '300ms' } }

async function submit(pool: string, count: number, input: object, needs: readonly string[] = []): Promise<string[]> {
  const tasks = Array.from({ length: count }, () => ({ input: { ...input }, needs }))
  const outcomes = (await node?.door.submit(pool, tasks)) ?? []
  return outcomes.map((outcome) => ('id' in outcome ? outcome.id : expect.unreachable('refused')))
}

const settled = (ids: readonly string[]): Promise<readonly TaskView[]> =>
  Promise.all(ids.map((id) => node?.settled(id) ?? expect.unreachable()))

const isUp = (name: string) => node?.door.dependencies().find((each) => each.name === name)?.up
const incidents = async () => (await node?.door.incidents({ limit: 100 }))?.rows ?? []
const incarnations = () => node?.door.replicas().map(({ name, incarnation }) => `${name}:${incarnation}`)

/** Done, in one attempt that counts. */
function expectDone(tasks: readonly TaskView[]): void {
  const seen = tasks.map(({ status, countedAttempts }) => `${status}, ${countedAttempts} counted`)
  expect(seen).toEqual(tasks.map(() => 'done, 1 counted'))
}

describe('a tool server that everybody uses', () => {
  const cases = carriers.flatMap((carrier) => toolFaults.map((fault) => ({ carrier, fault })))

  test.each(cases)('over $carrier, $fault: its tasks wait, nobody is restarted, nothing is charged', async (one) => {
    const { carrier, fault } = one
    world = await ToolWorld.begin(carrier)
    node = await testNode({
      dependencies: world.dependencies(checked),
      pools: { librarian: world.pool(2, 400), others: { agent: agentFixture('greeter.ts') } },
    })
    await node.ready(3)
    expectDone(await settled(await submit('librarian', 4, search)))

    const hit = await submit('librarian', 10, search, ['search'])
    await world.break(fault)
    hit.push(...(await submit('librarian', 4, search)))
    await until(() => isUp('search') === false, { timeoutMs: 15_000, what: 'the outage to be noticed' })

    const waiting = await submit('librarian', 4, search, ['search'])
    expectDone(await settled(await submit('others', 4, { name: 'Ada' })))
    if (fault === 'loses a tool') expectDone(await settled(await submit('librarian', 4, read, ['read'])))
    for (const id of waiting) expect(await node.door.task(id)).toMatchObject({ status: 'queued', attempts: [] })

    await world.mend(fault)
    const done = await settled([...hit, ...waiting])
    expectDone(done)
    for (const { output } of done) expect(output).toEqual(found)
    expect(incarnations()).toEqual(['librarian/0:1', 'librarian/1:1', 'others/0:1'])
    for (const { fault: of, actions, dependency } of await incidents()) {
      expect(of).toMatchObject({ kind: 'tool_unavailable', culprit: 'dependency' })
      expect(['search', 'read']).toContain(dependency)
      expect(actions.map(({ kind }) => kind)).toEqual(['hold'])
    }
  })
})

describe('the tool server of a replica itself', () => {
  test.each(['SIGKILL', 'SIGSTOP'] as const)('an agent that mends its connection needs nobody: %s', async (signal) => {
    world = await ToolWorld.begin('stdio')
    node = await testNode({ dependencies: world.dependencies(checked), pools: { librarian: world.pool(2, 1_000) } })
    await node.ready(2)
    expectDone(await settled(await submit('librarian', 4, search)))
    const ids = await submit('librarian', 20, search, ['search'])
    await world.strike(signal)
    ids.push(...(await submit('librarian', 4, search)))
    const done = await settled(ids)
    expectDone(done)
    expect(done.every(({ attempts }) => attempts.length === 1)).toBe(true)
    expect(await incidents()).toEqual([])
    expect(incarnations()).toEqual(['librarian/0:1', 'librarian/1:1'])
  })

  test.each(toolFaults)('one that never mends its own: %s, and this one replica is recycled', async (fault) => {
    world = await ToolWorld.begin('stdio')
    const frail = { ...world.pool(2, 400), agent: agentFixture('frail.ts') }
    node = await testNode({ dependencies: world.dependencies(checked), pools: { frail } })
    await node.ready(2)
    expectDone(await settled(await submit('frail', 4, search)))
    const victim = node.door.replicas()[0]
    await world.breakOne(fault, victim?.pid ?? 0)
    const ids: string[] = []
    await until(
      async () => {
        if (ids.length < 300) ids.push(...(await submit('frail', 2, search, ['search'])))
        return incarnations()?.[0] === 'frail/0:2'
      },
      { timeoutMs: 20_000, what: 'the replica to be replaced', everyMs: 50 },
    )
    expectDone(await settled(ids))
    expect(incarnations()).toEqual(['frail/0:2', 'frail/1:1'])
    expect(isUp('search')).toBe(true)
    const [incident, ...others] = await incidents()
    expect(incident).toMatchObject({
      replica: victim?.name,
      dependency: 'search',
      fault: { kind: 'tool_unavailable', culprit: 'agent' },
    })
    expect(others).toEqual([])
  })
})
