import type { ErrorInfo } from '../../src/model/errors.ts'
import type { AttemptObservation, ModelUsage } from '../../src/model/observation.ts'
import type { Lease } from '../../src/model/task.ts'
import type { SimProcess } from './process.ts'
import { dependency } from './scenario.ts'
import { type DependencyUse, fromInput, type Habit, type StepFate, type StepScript, type TaskScript } from './script.ts'

/** How soon an agent itself calls again what did not answer, ms. */
const retryMs = 2_000
/** How soon an attempt that goes in circles makes its next call, ms. */
const circleMs = 2_000
const noUsage: ModelUsage = {
  callId: null,
  ...{ provider: null, model: null, promptTokens: null, completionTokens: null, usd: null, windowTokens: null },
  ...{ textHash: null, textLength: null, toolCalls: null, failure: null },
}
const noAnswer: ErrorInfo = { name: 'Error', message: 'the provider does not answer' }
/** What no call has declared: only these words say whose fault it is. */
const refused: ErrorInfo = { name: 'Error', message: 'connect ECONNREFUSED 10.0.0.1:443', code: 'ECONNREFUSED' }
const noFate: StepFate = { stalls: false, ignoresSignal: false, rejects: false, slowness: 1 }

/** One observation of an attempt without what the process adds to it. */
type Said = AttemptObservation extends infer One
  ? One extends AttemptObservation
    ? Omit<One, 'replica' | 'incarnation' | 'atMs' | 'taskId' | 'fence'>
    : never
  : never

/**
 * One attempt as the agent's host plays it: steps in order, each journaled one
 * waiting for its acknowledgement, nothing new once it is aborted.
 */
export class SimAttempt {
  readonly lease: Lease
  private readonly process: SimProcess
  private readonly script: TaskScript
  private readonly results: ReadonlyMap<string, 'started' | 'done'>
  private index = 0
  private call = 0
  private waiting: 'start' | 'end' | null = null
  private fate: StepFate = noFate
  private acting = false
  /** Calls without an answer so far. */
  private misses = 0
  private started = false
  private over = false
  aborted = false
  /** A reset waits for it to settle. */
  private asked = false

  constructor(process: SimProcess, lease: Lease) {
    this.process = process
    this.lease = lease
    this.script = fromInput(lease.input)
    this.results = new Map(lease.journal.map((step) => [`${step.name}:${step.key}`, step.state]))
  }

  begin(): void {
    this.started = true
    this.say({ kind: 'started' })
    const { poison } = this.script
    if (poison !== null && this.process.fates.poisonWorks)
      this.process.at(this.process.fates.smallMs() * 20, () => this.process.poison(poison, this.lease.taskId))
    const habit = this.script.habit ?? this.process.habit
    if (habit === null) this.next()
    else this.goAstray(habit)
  }

  private goAstray(habit: Habit): void {
    this.process.wound('astray', this.lease.taskId)
    if (habit === 'circles') return this.circle()
    const usage = { ...noUsage, failure: 'context_overflow' } as const
    this.say({ kind: 'model_called', via: 'agent', usage })
  }

  /** The same call with the same result, until somebody stops it. */
  private circle(): void {
    if (this.over) return
    if (this.aborted) return this.settle()
    this.call += 1
    const { call } = this
    const args = { hash: 'q', length: 20, text: 'q' }
    const how = { repeat: 'safe_to_retry', timeoutMs: null, blocking: false, dependency: null, poll: false } as const
    this.say({ kind: 'call_started', start: { ...{ call, kind: 'tool', name: 'search', key: null, args }, ...how } })
    const print = { hash: 'r', folded: 'r', length: 100 }
    this.say({ kind: 'call_ended', call, ok: true, result: null, error: null, print })
    this.process.at(circleMs, () => this.circle())
  }

  private next(): void {
    if (this.over) return
    if (this.aborted) return this.settle()
    if (this.process.isLeaseOver()) return this.process.expireLease()
    const step = this.script.steps[this.index]
    if (step === undefined) return this.end()
    if (this.results.get(`${step.name}:0`) === 'done') {
      this.index += 1
      return this.next()
    }
    this.call += 1
    const journaled = step.kind === 'step'
    this.say({
      kind: 'call_started',
      start: {
        call: this.call,
        kind: step.kind,
        name: step.name,
        key: journaled ? '0' : null,
        repeat: step.repeat,
        timeoutMs: step.timeoutMs,
        blocking: step.blocking && step.kind === 'wait',
        args: step.seen === null ? null : { hash: step.seen.args, length: 2, text: step.seen.args },
        dependency: step.uses?.declared === true ? dependency : null,
        poll: step.seen?.poll === true,
      },
    })
    if (journaled && step.repeat !== 'safe_to_retry') this.waiting = 'start'
    else this.act(step)
  }

  private act(step: StepScript): void {
    if (this.process.isLeaseOver()) return this.process.expireLease()
    const known = this.results.get(`${step.name}:0`) === 'started' && step.repeat === 'check_first'
    if (known && this.process.sink.has(this.lease.taskId, step.name, '0')) return this.finishCall(step)
    this.fate = this.process.fates.step()
    this.setActing(true, step)
    // Beside others it blocks shortly: siblings that block in turn would keep a step from its deadline, rightly a stall.
    const blockMs = this.process.pool.concurrency === 1 ? step.ms : Math.min(step.ms, 5_000)
    if (step.blocking) this.process.block(blockMs, step.timeoutMs, this.lease.taskId)
    const stallsNow = this.process.stallsNext
    this.process.stallsNext = false
    if (this.fate.stalls || stallsNow || step.ms === Number.POSITIVE_INFINITY) {
      this.process.wound('stall', this.lease.taskId)
      return
    }
    const { call } = this
    if (step.uses !== null && !this.process.reachesProvider) return this.unanswered(step, step.uses, call)
    if (step.progressMs !== null) this.process.at(step.progressMs, () => this.progress(call, step.progressMs ?? 1))
    this.process.at(Math.round(step.ms * this.fate.slowness), () => this.complete(step, call))
  }

  private progress(call: number, everyMs: number): void {
    if (this.over || this.aborted || !this.acting || call !== this.call) return
    this.say({ kind: 'progress', note: `call ${call}` })
    this.process.at(everyMs, () => this.progress(call, everyMs))
  }

  private complete(step: StepScript, call: number): void {
    if (this.over || call !== this.call || !this.acting) return
    const { taskId, fence, replica, incarnation } = this.lease
    // What a call that names the dependency throws is charged to that: here only what it really failed.
    if (this.fate.rejects && step.uses === null && !this.aborted) {
      this.setActing(false, step)
      const error = { name: 'Error', message: 'scripted' }
      this.say({ kind: 'call_ended', call, ok: false, result: null, error, print: null })
      return this.reject()
    }
    if (step.uses !== null && !this.aborted) {
      if (!this.process.reachesProvider) return this.unanswered(step, step.uses, call)
      this.used(step.uses, true)
    }
    if (step.kind === 'step') this.process.sink.post({ taskId, name: step.name, key: '0', fence, replica, incarnation })
    this.setActing(false, step)
    if (this.aborted) this.settle()
    else this.finishCall(step)
  }

  /** What it calls does not answer. */
  private unanswered(step: StepScript, uses: DependencyUse, call: number): void {
    if (uses.unanswered === 'hangs') return this.process.whenReached(() => this.complete(step, call))
    const waitMs = uses.unanswered === 'fails' ? this.process.fates.smallMs() : uses.timeoutMs
    this.process.at(waitMs, () => this.turnedAway(step, uses, call))
  }

  private turnedAway(step: StepScript, uses: DependencyUse, call: number): void {
    if (this.over || call !== this.call || !this.acting) return
    this.setActing(false, step)
    if (this.aborted) return this.settle()
    this.used(uses, false)
    const error = uses.declared ? noAnswer : refused
    this.say({ kind: 'call_ended', call, ok: false, result: null, error, print: null })
    this.misses += 1
    if (this.misses >= uses.tries) return this.reject(error)
    this.process.at(retryMs, () => this.next())
  }

  private used({ declared }: DependencyUse, ok: boolean): void {
    const { taskId, fence, replica, incarnation } = this.lease
    const severed = this.process.isSevered
    this.process.trace.note({ kind: 'used', ok, severed, declared, taskId, fence, replica, incarnation })
  }

  private finishCall(step: StepScript): void {
    this.say({
      kind: 'call_ended',
      call: this.call,
      ok: true,
      result: step.kind === 'step' ? this.index : null,
      error: null,
      print: step.seen === null ? null : { hash: step.seen.result, folded: step.seen.result, length: 2 },
    })
    if (step.kind === 'step') {
      this.waiting = 'end'
      return
    }
    this.index += 1
    this.next()
  }

  /** The supervisor's word about the start or end of a journaled call. */
  acknowledged(call: number, phase: 'start' | 'end', accepted: boolean): void {
    if (this.over || this.aborted || call !== this.call || this.waiting !== phase) return
    this.waiting = null
    const step = this.script.steps[this.index]
    if (!accepted || step === undefined) return this.abort()
    if (phase === 'start') return this.act(step)
    this.index += 1
    this.next()
  }

  private end(): void {
    if (this.lease.attempt <= this.script.failures) return this.reject()
    this.over = true
    this.say({ kind: 'done', output: this.script.steps.length })
    this.process.release(this)
  }

  private reject(error: ErrorInfo = { name: 'Error', message: 'scripted' }): void {
    this.over = true
    this.say({ kind: 'failed', error })
    this.process.release(this)
  }

  /** The host's lease ran out: nothing new is begun, and the supervisor is told. */
  expire(): void {
    if (this.aborted || this.over) return
    this.say({ kind: 'lease_expired' })
    this.abort()
  }

  /** Every signal of the attempt is aborted. What does not look at its signal runs on. */
  abort(): void {
    if (this.aborted || this.over) return
    this.aborted = true
    if (!this.started || !this.acting) return this.settle()
    if (this.fate.ignoresSignal) {
      this.process.wound('deaf_to_reset', this.lease.taskId)
      return
    }
    this.process.at(this.process.fates.smallMs(), () => {
      if (this.over) return
      const step = this.script.steps[this.index]
      if (this.acting && step !== undefined) this.setActing(false, step)
      this.settle()
    })
  }

  /** `reset_ok` once everything has settled. */
  reset(): void {
    this.asked = true
    if (this.over) this.answer()
    else this.abort()
  }

  private settle(): void {
    if (this.over) return
    this.over = true
    this.process.release(this)
    if (this.asked) this.answer()
  }

  private answer(): void {
    const { fates } = this.process
    if (fates.losesResetAnswer()) return this.process.wound('deaf_to_reset', this.lease.taskId)
    if (fates.failsReset()) {
      this.process.wound('deaf_to_reset', this.lease.taskId)
      return this.say({ kind: 'reset_failed', error: { name: 'Error', message: 'scripted' } })
    }
    this.process.at(fates.smallMs(), () => this.say({ kind: 'reset_ok' }))
  }

  private setActing(on: boolean, step: StepScript): void {
    this.acting = on
    const { taskId, fence, replica, incarnation } = this.lease
    this.process.trace.note({
      kind: 'acting',
      on,
      taskId,
      fence,
      step: step.kind === 'step' ? step.name : '',
      replica,
      incarnation,
    })
  }

  private say(said: Said): void {
    const { taskId, fence } = this.lease
    this.process.send({
      ...said,
      taskId,
      fence,
      replica: this.process.replica,
      incarnation: this.process.incarnation,
      atMs: this.process.nowMs(),
    })
  }
}
