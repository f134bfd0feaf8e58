import { type ChildProcess, spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Allowance } from '../src/model/spent.ts'
import type { JournalStep } from '../src/model/task.ts'
import { FrameReader } from '../src/protocol/decode.ts'
import { encode } from '../src/protocol/encode.ts'
import { type AgentFrame, protocolVersion, type SupervisorFrame } from '../src/protocol/frames.ts'
import { until } from './until.ts'

export const bootFile = fileURLToPath(new URL('../src/agent/boot.js', import.meta.url))
export const agentFixture = (name: string): string =>
  fileURLToPath(new URL(`./fixtures/agents/${name}`, import.meta.url))

type Plain<Frame> = Frame extends { readonly leaseMs: number }
  ? Omit<Frame, 'leaseMs'> & { readonly leaseMs?: number }
  : never
type Kind = AgentFrame['type']
type FrameOf<Type extends Kind> = Extract<AgentFrame, { readonly type: Type }>

export interface FakeSupervisorOptions {
  readonly environment?: Readonly<Record<string, string>>
  readonly flags?: readonly string[]
  readonly concurrency?: number
  readonly pulseMs?: number
  readonly leaseMs?: number
  /** Whether starts and ends of journaled calls are acknowledged without being asked. Default true. */
  readonly acknowledge?: boolean
}

const liveMs = 10_000

/** The supervisor's end of a real agent process: it sends what a test says and remembers what came back. */
export class FakeSupervisor {
  readonly frames: AgentFrame[] = []
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  /** Reads of the channel that brought something. */
  reads = 0
  exit: { readonly code: number | null; readonly signal: string | null } | null = null
  readonly channel: Duplex
  readonly #reader = new FrameReader()
  readonly #options: FakeSupervisorOptions
  readonly #leaseMs: number

  constructor(argv: readonly [string, ...string[]], options: FakeSupervisorOptions = {}) {
    this.#options = options
    this.#leaseMs = options.leaseMs ?? 60_000
    const env = { PATH: process.env['PATH'] ?? '', ...options.environment }
    this.child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe', 'pipe'], env })
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString()
    })
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString()
    })
    this.child.on('close', (code, signal) => {
      this.exit = { code, signal }
    })
    this.channel = this.child.stdio[3] as Duplex
    this.channel.on('error', () => undefined) // The agent ended first.
    this.channel.on('data', (chunk: Buffer) => this.#receive(chunk))
  }

  /** An agent module in a Node process, started as the process host does it. */
  static module(file: string, options: FakeSupervisorOptions = {}): FakeSupervisor {
    const flags = ['--conditions=prunella-source', ...(options.flags ?? [])]
    return new FakeSupervisor([process.execPath, ...flags, bootFile, file], options)
  }

  adopt(changes: Partial<Extract<SupervisorFrame, { readonly type: 'adopt' }>> = {}): this {
    const { concurrency = 1, pulseMs = 60_000 } = this.#options
    const who = { protocol: protocolVersion, pool: 'pool', replica: 'pool/0', incarnation: 4 }
    return this.send({ type: 'adopt', ...who, pulseMs, concurrency, resetMs: 5_000, ...changes })
  }

  /** Adopts, and waits until the agent is ready. */
  async ready(): Promise<this> {
    this.adopt()
    await this.frame('ready')
    return this
  }

  task(
    task: string,
    input: unknown = null,
    more: { fence?: number; attempt?: number; journal?: JournalStep[]; left?: Allowance } = {},
  ): this {
    const { fence = 1, attempt = 1, journal = [], left } = more
    const fixed = { type: 'task', deadlineMs: null, previous: null, ...(left === undefined ? {} : { left }) } as const
    if (journal.length > 0) this.send({ type: 'journal', task, fence, steps: journal })
    return this.send({ ...fixed, task, fence, attempt, input: input as null })
  }

  send(frame: Plain<SupervisorFrame>): this {
    this.channel.write(encode({ leaseMs: this.#leaseMs, ...frame } as SupervisorFrame))
    return this
  }

  ack(task: string, call: number, phase: 'start' | 'end', accepted = true): this {
    return this.send({ type: 'ack', task, fence: 1, call, phase, accepted })
  }

  of<Type extends Kind>(type: Type): FrameOf<Type>[] {
    return this.frames.filter((frame): frame is FrameOf<Type> => frame.type === type)
  }

  /** The `nth` frame of this type (from 1) that fits. */
  async frame<Type extends Kind>(type: Type, fits: Partial<FrameOf<Type>> = {}, nth = 1): Promise<FrameOf<Type>> {
    const fitting = (): FrameOf<Type> | undefined =>
      this.of(type).filter((frame) =>
        Object.entries(fits).every(([key, value]) => (frame as unknown as Record<string, unknown>)[key] === value),
      )[nth - 1]
    return until(
      () => {
        const found = fitting()
        if (found === undefined && this.exit !== null)
          throw new Error(`exited ${JSON.stringify(this.exit)}: ${this.stderr}`)
        return found
      },
      { timeoutMs: liveMs, what: `${type} ${JSON.stringify(fits)} among ${JSON.stringify(this.frames)}`, everyMs: 2 },
    )
  }

  async exited(): Promise<{ readonly code: number | null; readonly signal: string | null }> {
    return until(() => this.exit, { timeoutMs: liveMs, what: 'the exit', everyMs: 2 })
  }

  /** The supervisor dies. */
  hangUp(): this {
    this.channel.destroy()
    return this
  }

  kill(): void {
    this.child.kill('SIGKILL')
  }

  #receive(chunk: Buffer): void {
    this.reads += 1
    this.#reader.push(chunk)
    for (let read = this.#reader.next(); read !== null; read = this.#reader.next()) {
      if (!read.ok) throw new Error(`The agent broke the protocol: ${read.reason}`)
      const frame = read.value as unknown as AgentFrame
      this.frames.push(frame)
      if (this.#options.acknowledge !== false) this.#acknowledge(frame)
    }
  }

  #acknowledge(frame: AgentFrame): void {
    if (frame.type === 'call_started' && frame.key !== undefined && frame.repeat !== 'safe_to_retry') {
      this.send({ type: 'ack', task: frame.task, fence: frame.fence, call: frame.call, phase: 'start', accepted: true })
    }
    if (frame.type === 'call_ended' && frame.ok && frame.result !== undefined) {
      this.send({ type: 'ack', task: frame.task, fence: frame.fence, call: frame.call, phase: 'end', accepted: true })
    }
  }
}
