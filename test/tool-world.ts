import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { PrunellaConfig } from '../src/config/index.ts'
import { until } from './until.ts'

export const carriers = ['stdio', 'http'] as const
export type Carrier = (typeof carriers)[number]
export const toolFaults = ['killed', 'hangs', 'loses a tool'] as const
export type ToolFault = (typeof toolFaults)[number]

const serverFile = fileURLToPath(new URL('fixtures/tool-server.ts', import.meta.url))
const librarian = fileURLToPath(new URL('../examples/tools/agents/librarian.ts', import.meta.url))

interface Server {
  readonly pid: number
  readonly parent: number
}

/** An MCP server that can be broken: one over HTTP for all, or over stdio one a replica, whose command can be broken. */
export class ToolWorld {
  readonly carrier: Carrier
  readonly #folder: string
  readonly #port: number
  #server: ChildProcess | null = null

  private constructor(carrier: Carrier, folder: string, port: number) {
    this.carrier = carrier
    this.#folder = folder
    this.#port = port
  }

  static async begin(carrier: Carrier): Promise<ToolWorld> {
    const folder = await mkdtemp(join(tmpdir(), 'prunella-tools-'))
    await chmod(folder, 0o777) // The servers leave their ids there, under whatever user they run.
    const world = new ToolWorld(carrier, folder, carrier === 'http' ? await freePort() : 0)
    if (carrier === 'http') await world.#serve()
    return world
  }

  /** Where an agent finds it, for its environment. */
  get where(): string {
    return this.carrier === 'http' ? `http://127.0.0.1:${this.#port}/mcp` : `${serverFile} ${this.#folder}`
  }

  /** One dependency for each tool. */
  dependencies(more: object): NonNullable<PrunellaConfig['dependencies']> {
    const mcp = this.carrier === 'http' ? this.where : { command: [process.execPath, serverFile, this.#folder] }
    const check = (tool: string) => ({ check: { mcp, tool }, ...more })
    return { search: check('search'), read: check('read') }
  }

  /** A pool of the example's agent. */
  pool(replicas: number, callMs: number): NonNullable<PrunellaConfig['pools']>[string] {
    return {
      agent: librarian,
      replicas: { min: replicas, max: replicas },
      environment: { set: { LIBRARY: this.where, LIBRARY_CALL_MS: String(callMs) } },
      retry: { backoff: { base: '20ms', max: '100ms' } },
    }
  }

  /** For everybody, those that start later included. */
  async break(fault: ToolFault): Promise<void> {
    if (fault === 'loses a tool') return this.#set('lost', 'search')
    if (this.carrier === 'http') {
      this.#server?.kill(fault === 'killed' ? 'SIGKILL' : 'SIGSTOP')
      return
    }
    await this.#set(fault === 'killed' ? 'broken' : 'hang', '')
    if (fault === 'killed') await this.strike('SIGKILL')
  }

  async mend(fault: ToolFault): Promise<void> {
    for (const name of ['broken', 'hang', 'lost']) await rm(join(this.#folder, name), { force: true })
    if (this.carrier !== 'http' || fault === 'loses a tool') return
    if (fault === 'hangs') this.#server?.kill('SIGCONT')
    else await this.#serve()
  }

  /** One server only, which an agent with this process id has started. */
  async breakOne(fault: ToolFault, parent: number): Promise<void> {
    const pid = (await this.servers()).find((server) => server.parent === parent)?.pid
    if (pid === undefined) throw new Error(`process ${parent} has no server`)
    if (fault === 'loses a tool') await this.#set(`lost.${pid}`, 'search')
    else process.kill(pid, fault === 'killed' ? 'SIGKILL' : 'SIGSTOP')
  }

  /** Every server that runs, but none that is started later. */
  async strike(signal: NodeJS.Signals): Promise<void> {
    for (const { pid } of await this.servers()) process.kill(pid, signal)
  }

  /** Those that run, as they say themselves. */
  async servers(): Promise<readonly Server[]> {
    const names = (await readdir(this.#folder)).filter((name) => name.startsWith('server.'))
    const all = await Promise.all(
      names.map(async (name) => ({
        pid: Number(name.slice('server.'.length)),
        parent: Number(await readFile(join(this.#folder, name), 'utf8')),
      })),
    )
    return all.filter(({ pid }) => isAlive(pid))
  }

  async end(): Promise<void> {
    this.#server?.kill('SIGKILL')
    await rm(this.#folder, { recursive: true, force: true })
  }

  #set(name: string, text: string): Promise<void> {
    return writeFile(join(this.#folder, name), text)
  }

  async #serve(): Promise<void> {
    this.#server = spawn(process.execPath, [serverFile, this.#folder, String(this.#port)], { stdio: 'ignore' })
    await until(() => accepts(this.#port), { timeoutMs: 10_000, what: 'the tool server' })
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}
