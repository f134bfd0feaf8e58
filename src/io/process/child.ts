import { type ChildProcess, spawn } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex, Readable, Writable } from 'node:stream'
import type { ErrorInfo } from '../../model/errors.ts'
import { limits } from '../../model/limits.ts'
import type { ExitCause } from '../../model/observation.ts'
import type { PoolSpec } from '../../model/pool.ts'
import { stripControls } from '../../model/redact.ts'
import type { Group } from './cgroup.ts'
import { commandLine } from './command.ts'
import { shareCompiled } from './compiled.ts'
import { buildEnvironment } from './environment.ts'
import { unreadableFor } from './isolation.ts'
import { type Machine, makeFolders, memoryIsPolled, processesAreUnlimited } from './machine.ts'
import { createLineReader, type LineReader } from './output.ts'
import { readStatNow, sendSignal } from './proc.ts'

/** From SIGKILL to "unkillable": normally the exit is there within 2 ms; on a frozen file system it never comes. */
const unkillableMs = 2_000
/** Sweeping what a dead replica left behind; after this the rest is named in the log. */
const sweepBoundMs = 3_000
/** Turns of the event loop in which a dead process's pipes may still deliver something. */
const drainTurns = 64
/** The kernel says nothing; Node's own words do. */
const heapWords = /heap limit|JavaScript heap out of memory/
const inspectorWords = /^(Debugger |For help, see: https:\/\/nodejs\.org|Waiting for the debugger)/

/** What is started, and how: a pool's replica, or what else a pool's words can say. */
export type Launchable = Pick<PoolSpec, 'name' | 'agent' | 'environment' | 'memoryBytes' | 'processLimit'>

export interface LaunchPlan {
  /** Names its folders and its memory group, e.g. `support-3.7`. Unique among the living. */
  readonly name: string
  readonly pool: Launchable
  /** True: speaks frames on file descriptor 3. False: gets its input on stdin, and `onStdout` gets its output. */
  readonly channel: boolean
  /** Added to its environment. */
  readonly variables?: Readonly<Record<string, string>>
}

/** A process that runs. */
export interface Running {
  readonly pid: number
  readonly startTicks: number | null
  readonly channel: Duplex | null
  readonly stdin: Writable | null
}

export interface ChildExit {
  readonly code: number | null
  readonly signal: string | null
  readonly cause: ExitCause
  readonly stderrTail: string
}

/** Each is called at most once, except `line` and `stdout`. After `failed` or `exited` nothing more comes. */
export interface ChildEvents {
  running(process: Running): void
  /** It never ran. */
  failed(error: ErrorInfo): void
  line(stream: 'stdout' | 'stderr', text: string): void
  stdout?(chunk: Buffer): void
  /** It is dead; what is still in its pipes is being read. */
  draining(): void
  exited(exit: ChildExit): void
  unkillable(pid: number): void
}

/** One operating-system process with everything it owns: user id, folders, memory group, output. */
export class Child {
  readonly marker: string
  readonly #machine: Machine
  readonly #plan: LaunchPlan
  readonly #events: ChildEvents
  readonly #slot: number
  #process: ChildProcess | null = null
  #group: Group | null = null
  #state: 'preparing' | 'running' | 'gone' = 'preparing'
  #killed = false
  #timers: NodeJS.Timeout[] = []
  #oomEvidence: string | null = null
  #user: number | null = null
  #stderr: LineReader | null = null
  readonly #swept = Promise.withResolvers<void>()

  constructor(machine: Machine, plan: LaunchPlan, events: ChildEvents) {
    this.#machine = machine
    this.#plan = plan
    this.#events = events
    this.marker = machine.nextMarker()
    this.#slot = machine.slots.take()
    queueMicrotask(() => void this.#start()) // No event before the caller has this object.
  }

  get pid(): number | null {
    return this.#state === 'running' ? (this.#process?.pid ?? null) : null
  }

  /** Whether the kernel watches its memory. */
  get hasMemoryLimit(): boolean {
    return this.#group?.limitsMemory === true
  }

  /** Resolves when it and all it started are gone, or were given up. */
  get swept(): Promise<void> {
    return this.#swept.promise
  }

  async #start(): Promise<void> {
    const { pool } = this.#plan
    try {
      const { argv, folders, strippedFolder, compiledFolder } = await this.#prepare()
      if (this.#killed) return this.#end({ code: null, signal: 'SIGKILL', cause: 'signal', stderrTail: '' })
      const child = spawn(argv[0] ?? '', argv.slice(1), {
        detached: true,
        cwd: folders.home,
        stdio: this.#plan.channel ? ['ignore', 'pipe', 'pipe', 'pipe'] : ['pipe', 'pipe', 'pipe'],
        env: buildEnvironment({
          pass: pool.environment.pass,
          set: { ...pool.environment.set, ...this.#plan.variables },
          pool: pool.name,
          marker: this.marker,
          root: this.#machine.root,
          homeFolder: folders.home,
          temporaryFolder: folders.temporary,
          strippedFolder,
          compiledFolder,
        }),
      })
      this.#adopt(child)
    } catch (error) {
      this.#fail(error)
    }
  }

  async #prepare() {
    const machine = this.#machine
    const { name, pool } = this.#plan
    const making = this.#makeGroup(pool)
    const { bootFile, strippedFolder, compiledFolder } =
      pool.agent.kind === 'module'
        ? await machine.stripper.prepare(pool.name, pool.agent.path)
        : { bootFile: machine.bootFile, strippedFolder: null, compiledFolder: null }
    const { argv, files } = commandLine(pool, { root: machine.root, bootFile, chaos: machine.chaos })
    this.#user = this.#chooseUser([...files, machine.runFolder, ...(strippedFolder === null ? [] : [strippedFolder])])
    if (compiledFolder !== null && this.#user !== null) shareCompiled(compiledFolder, this.#user)
    const [folders, group] = await Promise.all([makeFolders(join(machine.runFolder, name), this.#user), making])
    this.#group = group
    const wrapped = machine.isolation.wrap(argv, this.#user)
    // Nothing of the agent may exist before its process is in the group, or it could escape it. A module is loaded
    // only when it is adopted, so its process enters while Node boots: half of what a start would take otherwise.
    // For any other command a shell enters, and then becomes it.
    const entered =
      group === null || this.#entersLater
        ? wrapped
        : ['/bin/sh', '-c', enter(group.entryFiles.length), 'sh', ...group.entryFiles, ...wrapped]
    return { argv: entered, folders, strippedFolder, compiledFolder }
  }

  get #entersLater(): boolean {
    return this.#plan.pool.agent.kind === 'module'
  }

  #chooseUser(files: readonly string[]): number | null {
    const { isolation } = this.#machine
    if (isolation.firstUser === null) return null
    const user = isolation.firstUser + this.#slot
    for (const file of files) {
      const barrier = unreadableFor(user, file)
      if (barrier === null) continue
      this.#machine.blind(
        `Processes of ${this.#plan.pool.name} keep the supervisor’s user id and could harm it: ${barrier} is closed to other users, and ${file} is needed. Open it (chmod o+rx ${barrier}) or move it.`,
      )
      return null
    }
    return user
  }

  async #makeGroup({ memoryBytes, processLimit: processes }: Launchable): Promise<Group | null> {
    const { groups, blind } = this.#machine
    try {
      return (await groups?.create(this.marker, { memoryBytes, processes })) ?? null
    } catch (error) {
      if (memoryBytes !== null) blind(`${memoryIsPolled}: ${String(error)}.`)
      blind(`${processesAreUnlimited}: ${String(error)}.`)
      return null
    }
  }

  #adopt(child: ChildProcess): void {
    this.#process = child
    child.on('error', (error) => {
      if (child.pid === undefined) this.#fail(error)
    })
    if (child.pid === undefined) return // The error event comes next.
    this.#state = 'running'
    child.once('exit', (code, signal) => void this.#finish(child, code, signal))
    this.#stderr = this.#capture('stderr', child.stderr)
    if (this.#events.stdout === undefined) this.#capture('stdout', child.stdout)
    else child.stdout?.on('data', (chunk: Buffer) => this.#events.stdout?.(chunk))
    child.stdout?.on('error', ignoreBrokenPipe)
    child.stdin?.on('error', ignoreBrokenPipe)
    const running: Running = {
      pid: child.pid,
      startTicks: readStatNow(child.pid)?.startTicks ?? null,
      channel: (child.stdio[3] ?? null) as Duplex | null,
      stdin: child.stdin,
    }
    if (this.#group === null || !this.#entersLater) this.#events.running(running)
    else void this.#enter(this.#group, running)
  }

  async #enter(group: Group, running: Running): Promise<void> {
    try {
      await group.enter(running.pid)
    } catch (error) {
      if (this.#state === 'running') this.#machine.blind(`${processesAreUnlimited}: ${String(error)}.`)
    }
    // Dead already: its end is all that there is to say.
    if (this.#state === 'running') this.#events.running(running)
  }

  #capture(stream: 'stdout' | 'stderr', pipe: Readable | null): LineReader {
    const { clock } = this.#machine
    const reader = createLineReader({
      nowMs: () => clock.nowMs(),
      onLine: (text) => this.#events.line(stream, stripControls(text)),
      onFlood: (untilMs) => {
        pipe?.pause()
        this.#timers.push(setTimeout(() => pipe?.resume(), Math.max(1, untilMs - clock.nowMs())))
      },
      tailBytes: limits.stderrTailBytes,
    })
    pipe?.on('data', (chunk: Buffer) => reader.push(chunk))
    pipe?.on('end', () => reader.end())
    pipe?.on('error', ignoreBrokenPipe)
    return reader
  }

  /** SIGTERM, `graceMs`, SIGKILL, two seconds, `unkillable`. Again with less grace hurries it. */
  terminate(graceMs: number): void {
    if (this.#state === 'gone') return
    const pid = this.#process?.pid
    if (pid === undefined) {
      this.#killed = true // Seen before it is started.
      return
    }
    if (graceMs > 0 && !this.#killed) {
      sendSignal(-pid, 'SIGTERM')
      this.#timers.push(setTimeout(() => this.terminate(0), graceMs))
      return
    }
    if (this.#killed) return
    this.#killed = true
    sendSignal(-pid, 'SIGKILL')
    sendSignal(pid, 'SIGKILL') // Before it became leader of its group.
    this.#group?.kill()
    this.#timers.push(
      setTimeout(() => {
        if (this.#state === 'running') this.#events.unkillable(pid)
      }, unkillableMs),
    )
  }

  /** Found over its memory limit by polling: killed, and reported as the kernel would have. */
  killForMemory(evidence: string): void {
    if (this.#killed || this.#state !== 'running') return
    this.#oomEvidence = evidence
    this.terminate(0)
  }

  /** Asks for the inspector. Only for a Node process that is ready: earlier the signal kills. */
  openInspector(): boolean {
    const pid = this.pid
    return pid !== null && sendSignal(pid, 'SIGUSR1')
  }

  async #finish(child: ChildProcess, code: number | null, signal: string | null): Promise<void> {
    const pid = child.pid ?? 0
    sendSignal(-pid, 'SIGKILL') // Members of its group hold its pipes open, and act without a lease.
    this.#events.draining()
    await drain([child.stdio[3], child.stdout, child.stderr])
    this.#stderr?.end()
    for (const pipe of [child.stdio[3], child.stdout, child.stderr, child.stdin]) pipe?.destroy()
    const tail = (this.#stderr?.tail() ?? '')
      .split('\n')
      .filter((line) => !inspectorWords.test(line))
      .join('\n')
    const stderrTail = (this.#oomEvidence === null ? '' : `${this.#oomEvidence}\n`) + tail
    this.#end({ code, signal, cause: this.#causeOf(code, signal, tail), stderrTail })
  }

  #causeOf(code: number | null, signal: string | null, tail: string): ExitCause {
    if (this.#oomEvidence !== null) return 'oom_kill'
    if (signal === 'SIGKILL' && !this.#killed && (this.#group?.oomKills() ?? 0) > 0) return 'oom_kill'
    if ((code === 134 || signal === 'SIGABRT') && heapWords.test(tail)) return 'heap_exhausted'
    return signal === null ? 'exit' : 'signal'
  }

  #fail(error: unknown): void {
    if (this.#state === 'gone') return
    this.#close()
    this.#events.failed(toErrorInfo(error))
  }

  #end(exit: ChildExit): void {
    this.#close()
    this.#events.exited(exit)
  }

  #close(): void {
    this.#state = 'gone'
    for (const timer of this.#timers) clearTimeout(timer)
    void this.#cleanUp()
  }

  async #cleanUp(): Promise<void> {
    const pid = this.#process?.pid
    const isClean = pid === undefined || (await this.#sweep(pid))
    const { log, runFolder } = this.#machine
    const replica = this.#plan.name
    const failed = (what: string) => (error: unknown) => log.warn({ replica }, `${what}: ${String(error)}`)
    await this.#group?.remove().catch(failed('Its group could not be given back'))
    const folder = join(runFolder, replica)
    await rm(folder, { recursive: true, force: true }).catch(failed('Its folder could not be removed'))
    // What could not be killed keeps its user id: nobody else may meet it there.
    if (isClean) this.#machine.slots.free(this.#slot)
    this.#swept.resolve()
  }

  /** Whether nothing is left. */
  async #sweep(pid: number): Promise<boolean> {
    this.#group?.kill()
    const { lifePrefix, sweeper, log } = this.#machine
    const { killed, remaining } = await sweeper.sweep(({ stat, marker, user }) => {
      if (stat.group === pid || marker() === this.marker) return true
      // A process of its user that wiped its marker. One that carries a foreign marker belongs to another supervisor.
      return this.#user !== null && user() === this.#user && (marker()?.startsWith(lifePrefix) ?? true)
    }, sweepBoundMs)
    if (killed > 0)
      log.info({ replica: this.#plan.name, killed }, `Killed ${killed} processes that ${this.#plan.name} left behind.`)
    if (remaining.length > 0)
      log.warn({ replica: this.#plan.name, remaining }, 'Some processes it left behind could not be killed.')
    return remaining.length === 0
  }
}

/** A script that writes `0` into the files its first arguments name, and becomes the command after them, with nothing of the shell's own in its environment. */
function enter(files: number): string {
  return `${'echo 0 > "$1" && shift && '.repeat(files)}unset PWD OLDPWD && exec "$@"`
}

/**
 * Waits until a dead process's pipes have given what they hold. Not for their
 * end: a grandchild may keep them open. A whole turn of the loop without a byte
 * means that nothing is left.
 */
async function drain(pipes: readonly unknown[]): Promise<void> {
  const open = pipes.filter((pipe) => pipe instanceof Socket)
  let seen = -1
  for (let turn = 0; turn < drainTurns; turn += 1) {
    const read = open.reduce((sum, pipe) => sum + pipe.bytesRead, 0)
    if (read === seen || open.every((pipe) => pipe.readableEnded)) return
    seen = read
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

export function toErrorInfo(error: unknown): ErrorInfo {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) }
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {}
  return { name: error.name, message: error.message, ...code }
}

/** The other end died: its exit says so. */
function ignoreBrokenPipe(): void {}
