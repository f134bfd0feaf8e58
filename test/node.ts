import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Node, type NodeOptions, startNode } from '../src/compose.ts'
import { type PrunellaConfig, resolveConfig } from '../src/config/index.ts'
import type { Json } from '../src/model/json.ts'
import type { TaskView } from '../src/model/task.ts'
import { until } from './until.ts'

export interface TestNode {
  readonly node: Node
  readonly door: Node['door']
  readonly folder: string
  readonly lines: string[]
  /** Stops the node; the store stays for the next one in the same folder. */
  stop(): Promise<void>
  submit(pool: string, input: Json): Promise<string>
  /** Waits until the task is final or held. */
  settled(id: string, timeoutMs?: number): Promise<TaskView>
  ready(count: number, timeoutMs?: number): Promise<void>
}

const folders: string[] = []

/**
 * A node with real processes and a real store below the temporary directory; no port.
 *
 * @param options  A token opens a port.
 * @param probeEveryMs  Checks of dependencies come this often, where the default of 30 s is too long to wait for.
 */
export async function testNode(
  config: PrunellaConfig,
  folder?: string,
  probeEveryMs?: number,
  options: Partial<NodeOptions> = {},
): Promise<TestNode> {
  const root = folder ?? (await mkdtemp(join(tmpdir(), 'prunella-test-')))
  if (folder === undefined) folders.push(root)
  const lines: string[] = []
  const write = (_facts: unknown, message: string) => lines.push(message)
  const context = { root, stateFolder: join(root, '.prunella'), env: {}, fileExists: () => true }
  const asked = resolveConfig({ shutdown: '3s', ...config }, context)
  const resolved =
    probeEveryMs === undefined
      ? asked
      : {
          ...asked,
          dependencies: asked.dependencies.map((one) => ({ ...one, probe: { ...one.probe, periodMs: probeEveryMs } })),
        }
  const node = await startNode(resolved, { token: null, log: { info: write, warn: write, error: write }, ...options })
  const { door } = node
  return {
    node,
    door,
    folder: root,
    lines,
    stop: () => node.stop(),
    async submit(pool, input) {
      const [outcome] = await door.submit(pool, [{ input }])
      if (outcome === undefined || outcome.kind === 'refused') throw new Error('refused')
      return outcome.id
    },
    async settled(id, timeoutMs = 30_000) {
      const task = await door.waitForTask(id, timeoutMs, new AbortController().signal)
      if (task === null || ['queued', 'scheduled', 'leased', 'returning'].includes(task.status)) {
        throw new Error(`task ${id} is ${task?.status ?? 'unknown'} after ${timeoutMs} ms`)
      }
      return task
    },
    async ready(count, timeoutMs = 20_000) {
      const look = () => door.replicas().filter((replica) => replica.ready).length >= count
      await until(look, { timeoutMs, what: `${count} ready replicas` })
    },
  }
}

export async function removeTestFolders(): Promise<void> {
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })))
}

export function agentFixture(name: string): string {
  return fileURLToPath(new URL(`fixtures/agents/${name}`, import.meta.url))
}
