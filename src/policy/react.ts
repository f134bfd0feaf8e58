import { assertNever } from '../model/assert.ts'
import type { ErrorInfo } from '../model/errors.ts'
import type { FaultKind } from '../model/fault.ts'
import type { AttemptObservation, ReplicaObservation } from '../model/observation.ts'
import type { AttemptRow, Ending, ReplicaRow } from '../model/rows.ts'
import { askToReset, endAttempt, finishReturning, revokeAttempt } from './attempts.ts'
import { acquitTask } from './blame.ts'
import { mended } from './hint.ts'
import { recover, settle } from './incident.ts'
import { onGauge } from './misbehave.ts'
import { Draft, type Outcome, type View } from './outcome.ts'
import { bookApart } from './overspend.ts'
import { resumePool } from './pool-hold.ts'
import { afterGone, noticePhase, onFault } from './recover.ts'
import { heard, newProbe, recordOf } from './rows.ts'
import type { Sign } from './sign.ts'
import { taskFailed } from './task-failed.ts'
import { spentBy } from './use.ts'

/** Uncounted returns of one task after which its next lost lease holds it for a person (R8). */
const returnsBeforeHold = 5
/** Smoothing of a pool's running time: the newest attempt weighs a tenth. */
const taskMsWeight = 0.1

/** What an attempt's news calls for, beyond its clocks. `null`: nothing. */
export function onAttempt(view: View, attempt: AttemptRow, observation: AttemptObservation): Outcome | null {
  switch (observation.kind) {
    case 'started':
    case 'progress':
    case 'model_called':
    case 'tool_seen':
    case 'user_turn':
    case 'compacted':
    case 'compact_failed':
      return null
    case 'call_started':
      return journalStart(attempt, observation)
    case 'call_ended':
      return journalEnd(attempt, observation)
    case 'done':
      return attempt.phase.kind === 'returning' ? null : complete(view, attempt, observation)
    case 'failed':
      return attempt.phase.kind === 'returning' ? null : taskFailed(view, attempt, observation.error)
    case 'reset_ok':
      return letGo(view, attempt)
    case 'reset_failed': {
      const evidence = [`reset() failed: ${observation.error.message}`]
      const sign = {
        kind: 'stalled',
        evidence,
        firstSignMs: view.nowMs,
        attempt,
        error: observation.error,
        gone: false,
        needsHard: true,
      } as const
      return attempt.phase.kind === 'returning' ? onFault(view, sign) : null
    }
    case 'lease_expired':
      return returnUncounted(view, attempt)
    default:
      return assertNever(observation)
  }
}

/** `check_first` and `ask_human` steps are known before they act; the agent waits for our word. */
function journalStart(
  attempt: AttemptRow,
  observation: AttemptObservation & { readonly kind: 'call_started' },
): Outcome | null {
  const { call, key, name, repeat } = observation.start
  if (key === null || repeat === 'safe_to_retry') return null
  const { taskId, fence, replica, incarnation } = attempt
  const ack = { kind: 'ack', replica, incarnation, taskId, fence, call, phase: 'start' } as const
  const draft = new Draft()
  if (attempt.phase.kind === 'returning') {
    draft.effect({ ...ack, accepted: false })
    return draft.finish()
  }
  draft.change({ kind: 'step_started', taskId, fence, name, key, repeat, atMs: observation.atMs })
  draft.effect({ ...ack, accepted: true })
  if (repeat === 'ask_human') draft.setAttempt({ ...attempt, inDoubt: [...attempt.inDoubt, { name, key }] })
  return draft.finish([{ ...ack, accepted: false }])
}

/** A finished step is durable before `ctx.step` returns. */
function journalEnd(
  attempt: AttemptRow,
  observation: AttemptObservation & { readonly kind: 'call_ended' },
): Outcome | null {
  const open = attempt.calls.find((call) => call.call === observation.call)
  const { taskId, fence, replica, incarnation } = attempt
  const ack = { kind: 'ack', replica, incarnation, taskId, fence, call: observation.call, phase: 'end' } as const
  if (open === undefined || open.key === null || !observation.ok) return null
  const draft = new Draft()
  if (attempt.phase.kind === 'returning') {
    draft.effect({ ...ack, accepted: false })
    return draft.finish()
  }
  const { name, key, repeat, sinceMs } = open
  draft.change({
    kind: 'step_done',
    taskId,
    fence,
    name,
    key,
    repeat,
    result: observation.result,
    startedMs: sinceMs,
    atMs: observation.atMs,
  })
  draft.effect({ ...ack, accepted: true })
  const inDoubt = attempt.inDoubt.filter((step) => step.name !== name || step.key !== key)
  if (inDoubt.length !== attempt.inDoubt.length) draft.setAttempt({ ...attempt, inDoubt })
  return draft.finish([{ ...ack, accepted: false }])
}

function complete(
  view: View,
  attempt: AttemptRow,
  { output, atMs }: AttemptObservation & { readonly kind: 'done' },
): Outcome {
  const { nowMs, pool, replica } = view
  const { taskId, fence } = attempt
  const draft = new Draft()
  draft.change({
    kind: 'end_attempt',
    taskId,
    fence,
    atMs: nowMs,
    outcome: 'done',
    counted: true,
    lostReplica: null,
    error: null,
    previous: null,
    spent: spentBy(attempt, nowMs),
    next: { status: 'done', output },
  })
  const startedMs = attempt.phase.kind === 'running' ? attempt.phase.sinceMs : attempt.dispatchedMs
  draft.notice(
    {
      kind: 'attempt_ended',
      taskId,
      pool: attempt.pool,
      replica: attempt.replica,
      outcome: 'done',
      startedMs,
      atMs: nowMs,
    },
    { kind: 'task', taskId, pool: attempt.pool, status: 'done', atMs: nowMs },
  )
  draft.endAttempt(taskId)
  draft.setReplica({ ...replica, lastDoneMs: nowMs })
  mended(draft, view, attempt, `it completed task ${taskId} all the same`)
  acquitTask(draft, view, taskId)
  // By the stamps of the frames: our own delay in reading them is not the task's running time.
  const tookMs = Math.max(0, atMs - startedMs)
  const taskMs = Number.isFinite(pool.taskMs) ? pool.taskMs + taskMsWeight * (tookMs - pool.taskMs) : tookMs
  draft.pool = { ...(draft.pool ?? pool), taskMs }
  if (pool.hold?.cause === 'defective_agent') resumePool(draft, view, `${replica.name} completed task ${taskId}`)
  return draft.finish()
}

/** The host has let go: the soft restart has worked, or a cancelled attempt is over. */
function letGo(view: View, attempt: AttemptRow): Outcome | null {
  if (attempt.phase.kind !== 'returning') return null
  const { nowMs, incident, replica, spec } = view
  const draft = new Draft()
  finishReturning(draft, view, attempt)
  const last = incident?.actions.at(-1)
  const softRestart = last?.kind === 'soft_restart' && last.status === 'decided' && last.taskId === attempt.taskId
  if (incident?.status === 'open' && softRestart && replica.phase.kind === 'ready') {
    const recovered = recover(
      incident,
      nowMs,
      `${replica.name} let go of task ${attempt.taskId} and forgot its context`,
    )
    draft.setIncident(recovered)
    draft.change({ kind: 'incident', incident: recovered })
    draft.setReplica({ ...replica, probationUntilMs: nowMs + spec.recovery.probationMs })
    draft.notice({ kind: 'incident', incident: recovered, severity: 'info', change: 'recovered', atMs: nowMs })
  }
  return draft.finish()
}

/** The host's lease ran out because we were not there. Nobody's fault; it has aborted, and may take its time. */
function returnUncounted(view: View, attempt: AttemptRow): Outcome | null {
  if (attempt.phase.kind === 'returning') return null
  const draft = new Draft()
  const returns = attempt.attempt - attempt.countedAttempts
  const ending: Ending = {
    outcome: 'returned',
    counted: false,
    lost: false,
    error: null,
    evidence: ['the supervisor was away longer than the lease'],
    finish: returns >= returnsBeforeHold ? 'held' : null,
  }
  revokeAttempt(draft, attempt, ending, view.nowMs + view.spec.deadlines.idleMs)
  askToReset(draft, view, attempt, 'the lease ran out while the supervisor was away')
  return draft.finish()
}

/** What a replica's news calls for, beyond its clocks. `null`: nothing. */
export function onReplica(view: View, observation: ReplicaObservation): Outcome | null {
  const { replica } = view
  switch (observation.kind) {
    case 'pulse':
    case 'pong':
    case 'looked':
    case 'checked':
      return null
    case 'model_used':
      return bookApart(view, observation.usage)
    case 'memory':
      return onGauge(view, observation)
    case 'spawned': {
      const draft = new Draft()
      const row = { ...replica, pid: observation.pid, startTicks: observation.startTicks }
      draft.setReplica(row)
      draft.change({ kind: 'replica', record: recordOf(row) })
      return draft.finish()
    }
    case 'ready':
      return replica.phase.kind === 'starting' ? becomeReady(view, observation) : null
    case 'spawn_failed':
    case 'setup_failed': {
      if (replica.phase.kind !== 'starting') return null
      const what = observation.kind === 'spawn_failed' ? 'the process could not be started' : 'setup() failed'
      const { error } = observation
      const notSpawned = observation.kind === 'spawn_failed'
      const sign = startFailed(view, `${what}: ${error.message}`, error, notSpawned)
      return onFault(view, notSpawned && isOfTheNode(error) ? { ...sign, nodeRefused: error.message } : sign)
    }
    case 'stack':
      return replica.judgement === null ? null : condemn(view, observation.frames)
    case 'violation':
      return stillAlive(replica)
        ? onFault(view, { ...plainSign('protocol_violation', view, [observation.reason]), gone: false })
        : null
    case 'exited':
      return gone(view, exitSign(view, observation), null)
    case 'unkillable':
      return gone(
        view,
        plainSign('unresponsive', view, [`process ${observation.pid} survives SIGKILL`]),
        `process ${observation.pid} is still there after SIGKILL (frozen file system?): going on without it`,
      )
    default:
      return assertNever(observation)
  }
}

function stillAlive(replica: ReplicaRow): boolean {
  return replica.phase.kind === 'ready' || replica.phase.kind === 'starting' || replica.phase.kind === 'draining'
}

function becomeReady(view: View, observation: ReplicaObservation & { readonly kind: 'ready' }): Outcome {
  const { nowMs, replica, spec, incident } = view
  const draft = new Draft()
  const probation = incident !== null && incident.status === 'open'
  const row: ReplicaRow = {
    ...replica,
    phase: { kind: 'ready', sinceMs: nowMs },
    resettable: observation.resettable,
    compactable: observation.compactable,
    pulse: heard(nowMs),
    liveness: newProbe(spec.health.liveness, nowMs),
    readiness:
      observation.checks.length === 0
        ? { ...newProbe(spec.health.readiness, nowMs), verdict: 'ok', nextAtMs: Number.POSITIVE_INFINITY }
        : newProbe(spec.health.readiness, nowMs),
    probationUntilMs: probation ? nowMs + spec.recovery.probationMs : null,
    leaseSentMs: nowMs,
    renewedMs: nowMs,
  }
  draft.setReplica(row)
  noticePhase(draft, row, nowMs)
  if (probation) {
    const recovered = recover(incident, nowMs, `${row.name} is ready again, incarnation ${row.incarnation}`)
    draft.setIncident(recovered)
    draft.change({ kind: 'incident', incident: recovered })
    draft.notice({ kind: 'incident', incident: recovered, severity: 'info', change: 'recovered', atMs: nowMs })
  }
  const wasFailingToStart = view.pool.failedStarts > 0
  if (wasFailingToStart) draft.pool = { ...view.pool, failedStarts: 0 }
  if (wasFailingToStart && view.pool.hold?.cause === 'defective_agent') resumePool(draft, view, `${row.name} started`)
  return draft.finish()
}

/** The machine has no more processes, memory or files to give: no build and no agent is at fault (F11). */
function isOfTheNode({ code, message }: ErrorInfo): boolean {
  return /^E(AGAIN|NOMEM|MFILE|NFILE|NOSPC)$/.test(code ?? '') || /\bE(AGAIN|NOMEM|MFILE|NFILE|NOSPC)\b/.test(message)
}

export function startFailed(view: View, evidence: string, error: ErrorInfo | null, isGone: boolean): Sign {
  return { ...plainSign('start_failed', view, [evidence]), error, gone: isGone }
}

function plainSign(kind: FaultKind, view: View, evidence: readonly string[]): Sign {
  return {
    kind,
    evidence,
    firstSignMs: view.nowMs,
    attempt: null,
    error: { name: kind, message: evidence[0] ?? kind },
    gone: true,
    needsHard: false,
  }
}

/** The stack of a hung process is known, or could not be had in time: now it is replaced. */
export function condemn(view: View, frames: readonly string[]): Outcome | null {
  const judgement = view.replica.judgement
  if (judgement === null) return null
  const stack =
    frames.length === 0 ? [] : [`stuck at ${frames[0]}`, ...frames.slice(1).map((frame) => `called from ${frame}`)]
  const evidence = [...judgement.fault.evidence, ...stack]
  const sign: Sign = {
    ...plainSign('unresponsive', view, evidence),
    firstSignMs: judgement.fault.firstSignMs,
    gone: false,
  }
  return onFault(view, {
    ...sign,
    error: { name: 'unresponsive', message: stack[0] ?? evidence.at(-1) ?? 'unresponsive' },
  })
}

function exitSign(view: View, exit: ReplicaObservation & { readonly kind: 'exited' }): Sign {
  const how = exit.signal === null ? `exit code ${exit.code ?? 'unknown'}` : `signal ${exit.signal}`
  const cause = {
    exit: how,
    signal: how,
    oom_kill: `killed for its memory limit (${how})`,
    heap_exhausted: `JavaScript heap exhausted (${how})`,
  }[exit.cause]
  const tail = exit.stderrTail.trim()
  const evidence = [`the process ended: ${cause}`, ...(tail === '' ? [] : [`its last words: ${tail.slice(-1_000)}`])]
  if (view.replica.phase.kind === 'starting')
    return {
      ...startFailed(view, `${evidence.join('; ')}`, null, true),
      error: { name: 'start_failed', message: evidence.join('; ') },
    }
  const memory = exit.cause === 'oom_kill' || exit.cause === 'heap_exhausted'
  const kind: FaultKind = memory ? 'out_of_memory' : exit.signal === null && exit.code === 0 ? 'exited' : 'crashed'
  return plainSign(kind, view, evidence)
}

/** The process is gone: as told, or by itself. */
function gone(view: View, sign: Sign, remark: string | null): Outcome | null {
  const { replica, attempts, incident, nowMs } = view
  const { phase } = replica
  if (phase.kind === 'waiting' || phase.kind === 'quarantined') return null
  const planned =
    phase.kind === 'stopping' || ((phase.kind === 'draining' || view.shuttingDown) && attempts.length === 0)
  if (!planned) return onFault(view, sign)
  const draft = new Draft()
  for (const attempt of attempts) {
    if (attempt.phase.kind === 'returning') finishReturning(draft, view, attempt)
    else
      endAttempt(draft, view, attempt, {
        outcome: 'returned',
        counted: false,
        lost: false,
        error: null,
        evidence: [],
        finish: null,
      })
  }
  const after = phase.kind === 'stopping' || phase.kind === 'draining' ? phase.after : 'remove'
  if (incident !== null && (remark !== null || after !== 'restart')) {
    const settled =
      after === 'quarantine' ? settle(incident, 'done', nowMs, remark ?? 'the process has ended') : incident
    draft.setIncident(settled)
    draft.change({ kind: 'incident', incident: settled })
  }
  afterGone(draft, view, after)
  return draft.finish()
}
