import { assertNever } from '../../model/assert.ts'
import type { TaskId } from '../../model/ids.ts'
import type { Json } from '../../model/json.ts'
import { limits } from '../../model/limits.ts'
import type { Observation } from '../../model/observation.ts'
import { stripControls } from '../../model/redact.ts'
import type { Lease } from '../../model/task.ts'
import type { Admission, RunningAttempt } from '../../port/model-door.ts'
import type { HostEffect } from '../../port/process-host.ts'
import { decodeLine } from '../../protocol/decode.ts'
import { Child, type ChildExit, toErrorInfo } from './child.ts'
import { commandLine } from './command.ts'
import type { ReplicaOptions } from './framed.ts'
import { look } from './look.ts'
import { cleanLines, cleanText } from './observe.ts'
import { readStatNow } from './proc.ts'
import type { Replica, WatchedProcess } from './replica.ts'

/** Output is progress; more often than this it says nothing new. */
const progressEveryMs = 1_000

/** One task in a process of its own. */
interface Job {
  readonly lease: Lease
  readonly child: Child
  readonly admission: Admission | null
  output: Buffer[]
  outputBytes: number
  progressMs: number
  ending: 'none' | 'reset' | 'too_large'
}

/**
 * An incarnation of a command that speaks no protocol. It is a place for
 * `concurrency` processes, one a task: input as JSON on stdin, stdout is the
 * result. What such a command cannot say is said for it:
 *
 * - `spawned` (process id 0, no start time) and `ready` at once: there is no process until there is a task.
 * - `pulse` while every process it has is neither stopped nor a zombie, also while it has none.
 * - `started` when the process runs, `progress` from output, `done` for exit 0, `failed` for another code.
 * - A death by signal ends the incarnation: `exited`. Its other processes are killed; the next incarnation starts afresh.
 * - `reset` kills the one process.
 */
export class BareReplica implements Replica {
  readonly incarnation: number
  readonly #options: ReplicaOptions
  readonly #jobs = new Map<TaskId, Job>()
  #queue: Lease[] = []
  #state: 'open' | 'stopping' | 'gone' = 'open'
  #crash: ChildExit | null = null
  #count = 0
  readonly #pulse: NodeJS.Timeout
  readonly #swept: Promise<void>[] = []

  constructor(options: ReplicaOptions) {
    this.#options = options
    this.incarnation = options.subject.incarnation
    this.#pulse = setInterval(() => this.#beat(), options.pool.pulse.everyMs)
    queueMicrotask(() => this.#open()) // No event before the host has this object.
  }

  /** A command that is not there is found out now, not by every task. */
  #open(): void {
    try {
      commandLine(this.#options.pool, this.#options.machine)
    } catch (error) {
      this.#state = 'gone'
      clearInterval(this.#pulse)
      this.#observe({ ...this.#now(), kind: 'spawn_failed', error: toErrorInfo(error) })
      return this.#options.hooks.gone()
    }
    this.#observe({ ...this.#now(), kind: 'spawned', pid: 0, startTicks: null })
    this.#observe({ ...this.#now(), kind: 'ready', checks: [], resettable: false, compactable: false })
  }

  apply(effect: Exclude<HostEffect, { readonly kind: 'spawn' }>): void {
    switch (effect.kind) {
      case 'dispatch':
        if (this.#state !== 'open') return
        this.#queue.push(effect.lease)
        return this.#startNext()
      case 'reset':
        return this.#reset(effect.taskId, effect.fence)
      case 'terminate':
        return this.#terminate(effect.graceMs)
      case 'ping':
        return this.#observe({ ...this.#now(), kind: 'pong', ping: effect.ping })
      case 'check':
        return this.#observe({ ...this.#now(), kind: 'checked', probe: effect.probe, results: {} })
      case 'look':
        return void this.#look()
      case 'capture_stack':
        return this.#observe({ ...this.#now(), kind: 'stack', frames: [] })
      case 'nudge':
        return this.#jobs.get(effect.taskId)?.admission?.nudge(effect.taskId, effect.fence, effect.text)
      case 'ack':
      case 'lease':
      case 'compact': // Never asked: it is not compactable.
        return // It has no journal and no context that we know of, and cannot be told how long it may go on.
      default:
        return assertNever(effect)
    }
  }

  sabotage(): void {}

  resume(): void {}
  everySecond(): void {}

  processes(): readonly WatchedProcess[] {
    return [...this.#jobs.values()].flatMap(({ child }) =>
      child.pid === null
        ? []
        : [
            {
              pid: child.pid,
              isLimited: child.hasMemoryLimit,
              killForMemory: (evidence: string) => child.killForMemory(evidence),
            },
          ],
    )
  }

  async close(): Promise<void> {
    this.#terminate(0)
    await Promise.all(this.#swept)
  }

  #startNext(): void {
    while (this.#state === 'open' && this.#jobs.size < this.#options.pool.concurrency) {
      const lease = this.#queue.shift()
      if (lease === undefined) return
      this.#start(lease)
    }
  }

  #start(lease: Lease): void {
    const { machine, pool, subject, hooks, redact, models } = this.#options
    const attempt = { taskId: lease.taskId, fence: lease.fence }
    // A token for each process, so that its calls are known for those of its task.
    const admission = models?.admit({ ...subject, pool: pool.name }, () => this.#running(lease)) ?? null
    this.#count += 1
    const name = `${subject.replica.replace('/', '-')}.${subject.incarnation}.${this.#count}`
    const variables = { PRUNELLA_TASK: lease.taskId, PRUNELLA_ATTEMPT: String(lease.attempt) }
    const child = new Child(
      machine,
      { name, pool, channel: false, variables, models: admission?.variables ?? {} },
      {
        running: ({ stdin }) => {
          this.#observe({ ...this.#now(), ...attempt, kind: 'started' })
          stdin?.end(JSON.stringify(lease.input))
        },
        failed: (error) => {
          this.#observe({ ...this.#now(), ...attempt, kind: 'failed', error })
          this.#leave(job)
        },
        stdout: (chunk) => this.#collect(job, chunk),
        line: (stream, text) => {
          hooks.log(stream, redact(text))
          this.#progress(job, text)
        },
        draining: () => undefined,
        exited: (exit) => this.#exited(job, exit),
        unkillable: (pid) => {
          this.#observe({ ...this.#now(), kind: 'unkillable', pid })
          hooks.unkillable(pid)
        },
      },
    )
    const job: Job = {
      lease,
      child,
      admission,
      output: [],
      outputBytes: 0,
      progressMs: Number.NEGATIVE_INFINITY,
      ending: 'none',
    }
    this.#jobs.set(lease.taskId, job)
    this.#swept.push(child.swept)
  }

  #collect(job: Job, chunk: Buffer): void {
    job.outputBytes += chunk.length
    if (job.outputBytes <= limits.payloadBytes) job.output.push(chunk)
    else if (job.ending === 'none') {
      job.ending = 'too_large'
      job.child.terminate(0)
    }
    this.#progress(job, chunk.subarray(0, limits.noteLength).toString('utf8'))
  }

  #progress(job: Job, text: string): void {
    const now = this.#now()
    if (now.atMs - job.progressMs < progressEveryMs) return
    job.progressMs = now.atMs
    const note = cleanText(text, limits.noteLength, this.#options.redact)
    this.#observe({ ...now, taskId: job.lease.taskId, fence: job.lease.fence, kind: 'progress', note })
  }

  #exited(job: Job, exit: ChildExit): void {
    const { taskId, fence } = job.lease
    const attempt = { ...this.#now(), taskId, fence }
    if (job.ending === 'reset') this.#observe({ ...attempt, kind: 'reset_ok' })
    else if (job.ending === 'too_large') this.#observe({ ...attempt, kind: 'failed', error: tooLarge })
    else if (this.#state !== 'open')
      this.#crash ??= exit // A result given under SIGTERM may be half of one.
    else if (exit.cause !== 'exit') {
      this.#crash = exit
      this.#terminate(0)
    } else if (exit.code === 0)
      this.#observe({ ...attempt, kind: 'done', output: parseResult(Buffer.concat(job.output)) })
    else
      this.#observe({
        ...attempt,
        kind: 'failed',
        error: { ...this.#tail(exit), name: 'ExitError', code: `EXIT_${exit.code}` },
      })
    this.#leave(job)
  }

  #tail(exit: ChildExit) {
    const tail = cleanLines(
      exit.stderrTail.slice(-limits.errorTextLength),
      limits.errorTextLength,
      this.#options.redact,
    ).trim()
    return { message: `The command ended with exit code ${exit.code}${tail === '' ? '.' : `: ${tail}`}` }
  }

  #leave(job: Job): void {
    job.admission?.revoke()
    this.#jobs.delete(job.lease.taskId)
    void job.child.swept.then(() => this.#swept.splice(this.#swept.indexOf(job.child.swept), 1))
    if (this.#state === 'stopping') this.#endIfEmpty()
    else this.#startNext()
  }

  #running({ taskId, fence }: Lease): readonly RunningAttempt[] {
    return this.#jobs.get(taskId)?.ending === 'none' ? [{ taskId, fence, left: null }] : []
  }

  #reset(taskId: TaskId, fence: number): void {
    const job = this.#jobs.get(taskId)
    if (job?.lease.fence === fence) {
      job.ending = 'reset'
      return job.child.terminate(0)
    }
    this.#queue = this.#queue.filter((lease) => lease.taskId !== taskId || lease.fence !== fence)
    this.#observe({ ...this.#now(), taskId, fence, kind: 'reset_ok' })
  }

  #terminate(graceMs: number): void {
    if (this.#state === 'gone') return
    this.#state = 'stopping'
    this.#queue = []
    for (const { child } of this.#jobs.values()) child.terminate(graceMs)
    this.#endIfEmpty()
  }

  #endIfEmpty(): void {
    if (this.#jobs.size > 0 || this.#state === 'gone') return
    this.#state = 'gone'
    clearInterval(this.#pulse)
    const { code, signal, cause, stderrTail } = this.#crash ?? {
      code: 0,
      signal: null,
      cause: 'exit' as const,
      stderrTail: '',
    }
    const tail = cleanLines(stderrTail, limits.stderrTailBytes, this.#options.redact)
    this.#observe({ ...this.#now(), kind: 'exited', code, signal, cause, stderrTail: tail })
    this.#options.hooks.gone()
  }

  #beat(): void {
    const isHealthy = this.processes().every(({ pid }) => !'TtZX'.includes(readStatNow(pid)?.state ?? 'X'))
    if (isHealthy) this.#observe({ ...this.#now(), kind: 'pulse', lagMs: 0 })
  }

  /** The worst of its processes; while it has none it sleeps. */
  async #look(): Promise<void> {
    const looks = await Promise.all(this.processes().map(({ pid }) => look(pid)))
    const worst = looks.find(({ state }) => state === 'T' || state === 'D') ?? looks[0]
    this.#observe({ ...this.#now(), kind: 'looked', look: worst ?? { state: 'S', cpuMs: 0, children: 0 } })
  }

  #now() {
    return { ...this.#options.subject, atMs: this.#options.machine.clock.nowMs() }
  }

  #observe(observation: Observation): void {
    this.#options.inbox.push(observation)
  }
}

const tooLarge = {
  name: 'PrunellaError',
  code: 'PRUNELLA_TOO_LARGE',
  message: `The command wrote more than ${limits.payloadBytes} bytes to its output. Write large results to a file and print its name.`,
}

/** JSON when it is JSON, and not deeper than anything else may be; else the text. */
export function parseResult(output: Buffer): Json {
  const text = output.toString('utf8').trim()
  try {
    if (decodeLine(Buffer.from(`{"result":${text}}`)).ok) return JSON.parse(text)
  } catch {
    // `1, "x": 2` passes the first look only: it is text.
  }
  return text.split('\n').map(stripControls).join('\n')
}
