import type { OperatorAnswer } from '../model/effect.ts'
import type { ActionKind, Fault } from '../model/fault.ts'
import type { Incident } from '../model/incident.ts'
import type { OperatorCommand, OperatorRequest } from '../model/observation.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow, PoolRow, ReplicaRow } from '../model/rows.ts'
import { askToReset, revokeAttempt } from './attempts.ts'
import { act, askForReview, close, openIncident, recover, worsen } from './incident.ts'
import { Draft, type Outcome, type View } from './outcome.ts'
import { withFreshAccounts } from './pool-budget.ts'
import { resumePool } from './pool-hold.ts'
import { noticePhase, terminate } from './recover.ts'
import { poolRecordOf, recordOf } from './rows.ts'

export type ReplicaCommand = Extract<OperatorCommand, { readonly replica: string }>
export type PoolCommand = Extract<OperatorCommand, { readonly pool: string }>

/** What a person asks of one replica. It is written like any other action, with who and why (R9). */
export function onReplicaCommand(view: View, request: OperatorRequest & { readonly command: ReplicaCommand }): Outcome {
  const { command } = request
  const { phase } = view.replica
  if (command.kind === 'release') return release(view, request)
  if (command.kind === 'absolve') return absolve(view, request)
  if (phase.kind === 'quarantined') return refuse(request, `${view.replica.name} is quarantined: release it first`)
  if (phase.kind === 'waiting' || phase.kind === 'stopping')
    return refuse(request, `${view.replica.name} has no running process now (${phase.kind})`)
  if (command.kind === 'restart' && command.rung === 'soft') return softRestart(view, request)
  const draft = new Draft()
  const kind: ActionKind =
    command.kind === 'quarantine' ? 'quarantine' : command.kind === 'drain' ? 'drain' : 'hard_restart'
  const incident = recordAction(draft, view, request, kind)
  if (command.kind === 'drain') {
    const row = {
      ...draft.replica(view.replica),
      phase: { kind: 'draining', untilMs: Number.POSITIVE_INFINITY, after: 'restart' },
    } as const
    draft.setReplica(row)
    draft.change({ kind: 'replica', record: recordOf(row) })
    noticePhase(draft, row, view.nowMs)
  } else {
    for (const attempt of view.attempts) revokeAttempt(draft, attempt, cutOff, Number.POSITIVE_INFINITY)
    terminate(draft, view, view.spec.recovery.graceMs, command.kind === 'quarantine' ? 'quarantine' : 'restart')
  }
  return answer(
    draft,
    request,
    { kind: 'accepted', incidentId: incident.id, text: `${kind} of ${view.replica.name}` },
    view.nowMs,
  )
}

const cutOff = {
  outcome: 'returned',
  counted: false,
  lost: false,
  error: null,
  evidence: ['cut off by an operator'],
  finish: null,
} as const

function softRestart(view: View, request: OperatorRequest): Outcome {
  const draft = new Draft()
  const incident = recordAction(draft, view, request, 'soft_restart')
  for (const attempt of view.attempts) {
    revokeAttempt(draft, attempt, cutOff, view.nowMs + view.spec.recovery.resetMs)
    askToReset(draft, view, attempt, 'soft restart by an operator')
  }
  const recovered = recover(incident, view.nowMs, 'asked to let go of its tasks and forget their context')
  draft.setIncident(recovered)
  draft.change({ kind: 'incident', incident: recovered })
  draft.setReplica({ ...draft.replica(view.replica), probationUntilMs: view.nowMs + view.spec.recovery.probationMs })
  return answer(
    draft,
    request,
    { kind: 'accepted', incidentId: incident.id, text: `soft restart of ${view.replica.name}` },
    view.nowMs,
  )
}

function release(view: View, request: OperatorRequest): Outcome {
  const { nowMs, replica, incident } = view
  if (replica.phase.kind !== 'quarantined')
    return refuse(request, `${replica.name} is not quarantined (${replica.phase.kind})`)
  const draft = new Draft()
  const row = {
    ...replica,
    strikes: [],
    replacedMs: [],
    incidentId: null,
    probationUntilMs: null,
    phase: { kind: 'waiting', spawnAtMs: nowMs },
  } as const
  draft.setReplica(row)
  draft.change({ kind: 'replica', record: recordOf(row) })
  noticePhase(draft, row, nowMs)
  if (incident !== null) {
    const text = `released by ${request.who}: ${request.reason}`
    const acted = act(incident, {
      kind: 'release',
      atMs: nowMs,
      replica: replica.name,
      incarnation: replica.incarnation,
      taskId: null,
      strike: 0,
      reason: text,
    })
    const closed = close(recover(acted, nowMs, text), nowMs, text)
    draft.setIncident(closed)
    draft.change({ kind: 'incident', incident: closed })
    draft.notice({ kind: 'incident', incident: closed, severity: 'info', change: 'closed', atMs: nowMs })
  }
  const fault = incident?.fault.kind ?? 'operator'
  draft.notice({
    kind: 'action',
    pool: replica.pool,
    replica: replica.name,
    taskId: null,
    action: 'release',
    fault,
    incidentId: incident?.id ?? null,
    reason: request.reason,
    atMs: nowMs,
  })
  return answer(
    draft,
    request,
    { kind: 'accepted', incidentId: incident?.id ?? null, text: `${replica.name} released` },
    nowMs,
  )
}

/** Takes back what a replica was charged with, in its row and in the pool's cross table. What is still being mended goes on. */
function absolve(view: View, request: OperatorRequest): Outcome {
  const { nowMs, replica, incident, pool } = view
  if (replica.phase.kind === 'quarantined') return refuse(request, `${replica.name} is quarantined: release it`)
  const draft = new Draft()
  // As many of the pool's replacements as it had: they slow down nobody's return any more (R5).
  const kept = Math.max(0, pool.replacedMs.length - replica.replacedMs.length)
  const marks = pool.marks.filter((mark) => mark.replica !== replica.name)
  draft.pool = { ...pool, marks, replacedMs: pool.replacedMs.slice(0, kept) }
  const isOver = incident?.status === 'probation'
  const row: ReplicaRow = {
    ...{ ...replica, strikes: [], replacedMs: [] },
    ...(isOver ? { incidentId: null, probationUntilMs: null } : {}),
  }
  draft.setReplica(row)
  draft.change({ kind: 'replica', record: recordOf(row) })
  if (isOver) {
    const closed = close(incident, nowMs, `absolved by ${request.who}: ${request.reason}`)
    draft.setIncident(closed)
    draft.change({ kind: 'incident', incident: closed })
    draft.notice({ kind: 'incident', incident: closed, severity: 'info', change: 'closed', atMs: nowMs })
  }
  const text = `${replica.name} is absolved: no strikes`
  return answer(draft, request, { kind: 'accepted', incidentId: isOver ? incident.id : null, text }, nowMs)
}

/** Opens (or continues) the replica's incident with the operator's action in it. */
function recordAction(draft: Draft, view: View, request: OperatorRequest, kind: ActionKind): Incident {
  const { nowMs, replica, spec } = view
  const reason = `${request.who}: ${request.reason === '' ? 'no reason given' : request.reason}`
  const fault: Fault = {
    kind: 'operator',
    culprit: 'unknown',
    pool: spec.name,
    replica: replica.name,
    incarnation: replica.incarnation,
    taskId: null,
    dependency: null,
    firstSignMs: nowMs,
    evidence: [`asked for by ${reason}`],
  }
  const opened = view.incident === null ? openIncident(fault, nowMs, replica.name) : worsen(view.incident, fault)
  const acted = act(opened, {
    kind,
    atMs: nowMs,
    replica: replica.name,
    incarnation: replica.incarnation,
    taskId: null,
    strike: 0,
    reason,
  })
  const incident =
    kind === 'quarantine'
      ? askForReview(acted, nowMs, 'quarantined by an operator: release it when it is mended')
      : acted
  draft.setIncident(incident)
  draft.change({ kind: 'incident', incident })
  draft.setReplica({ ...draft.replica(replica), incidentId: incident.id, probationUntilMs: null, judgement: null })
  draft.notice(
    {
      kind: 'incident',
      incident,
      severity: 'info',
      change: view.incident === null ? 'opened' : 'changed',
      atMs: nowMs,
    },
    {
      kind: 'action',
      pool: spec.name,
      replica: replica.name,
      taskId: null,
      action: kind,
      fault: 'operator',
      incidentId: incident.id,
      reason,
      atMs: nowMs,
    },
  )
  return incident
}

export interface PoolCommandView extends Pick<View, 'pool' | 'nowMs' | 'incidents'> {
  readonly spec: PoolSpec
  /** Dependencies that a forced resume has let back in just now. */
  readonly forced: readonly string[]
}

/** Hold, resume and scale of a pool. */
export function onPoolCommand(
  view: PoolCommandView,
  request: OperatorRequest & { readonly command: PoolCommand },
): Outcome {
  const { pool, nowMs, spec } = view
  const { command } = request
  const draft = new Draft()
  if (command.kind === 'scale') {
    const { min, max } = spec.replicas
    if (command.replicas < min || command.replicas > max)
      return refuse(request, `pool ${pool.name} may have ${min} to ${max} replicas, got ${command.replicas}`)
    const next: PoolRow = { ...pool, wanted: command.replicas }
    draft.pool = next
    draft.change({ kind: 'pool', record: poolRecordOf(draft.pool) })
    draft.notice({ kind: 'pool', pool: pool.name, text: `scaled to ${next.wanted} by ${request.who}`, atMs: nowMs })
    return answer(
      draft,
      request,
      { kind: 'accepted', incidentId: null, text: `pool ${pool.name} wants ${next.wanted} replicas` },
      nowMs,
    )
  }
  if (command.kind === 'resume') return resume(view, request)
  if (pool.hold !== null) return refuse(request, `pool ${pool.name} is held already: ${pool.hold.reason}`)
  const hold = {
    cause: 'operator',
    sinceMs: nowMs,
    reason: `${request.who}: ${request.reason}`,
    incidentId: null,
  } as const
  draft.pool = { ...pool, hold }
  draft.change({ kind: 'pool', record: poolRecordOf(draft.pool) })
  draft.notice({ kind: 'pool', pool: pool.name, text: `held by ${hold.reason}`, atMs: nowMs })
  const until = pool.notReady === null ? '' : `; it stays so when what holds it besides is over (${pool.notReady})`
  const text = `pool ${pool.name} held: running tasks go on, none is started${until}`
  return answer(draft, request, { kind: 'accepted', incidentId: null, text }, nowMs)
}

/**
 * A person's word ends what a person, a budget or a defective agent holds. What a
 * dependency holds is let back in when that answers, or at once when the person
 * says that it does (`force`), who may be wrong: then its failures open it again.
 */
function resume(view: PoolCommandView, request: OperatorRequest & { readonly command: PoolCommand }): Outcome {
  const { pool, nowMs, forced } = view
  const { hold, notReady, name } = pool
  const rest =
    notReady === null ? null : `${notReady}; it is let back in when that answers, or now by a forced resume (--force)`
  if (hold === null && forced.length === 0)
    return refuse(
      request,
      rest === null ? `pool ${name} is not held` : `pool ${name} is held by nobody but its ${rest}`,
    )
  const draft = new Draft()
  if (hold?.cause === 'budget') draft.pool = withFreshAccounts(view)
  resumePool(draft, view, `by ${request.who}: ${request.reason}`)
  const over = forced.length === 0 ? '' : `, with ${forced.join(', ')} taken for mended`
  const but = rest === null ? '' : `, but still held by its ${rest}`
  const text = `pool ${name} resumed${over}${but}`
  return answer(draft, request, { kind: 'accepted', incidentId: hold?.incidentId ?? null, text }, nowMs)
}

/** Cancels a task: at once while it waits, by a reset of its attempt while it runs. */
export function onCancel(
  request: OperatorRequest & { readonly command: { readonly kind: 'cancel'; readonly taskId: string } },
  running: { readonly view: View; readonly attempt: AttemptRow } | null,
  nowMs: number,
): Outcome {
  const { taskId } = request.command
  const draft = new Draft()
  if (running === null) {
    const reason = `cancelled by ${request.who}: ${request.reason}`
    draft.change({ kind: 'finish_waiting', taskId, atMs: nowMs, next: { status: 'cancelled', reason } })
    const refused = {
      kind: 'answer',
      request: request.id,
      answer: { kind: 'conflict', text: `task ${taskId} is unknown or has ended already` },
    } as const
    return answer(draft, request, { kind: 'accepted', incidentId: null, text: `task ${taskId} cancelled` }, nowMs, [
      refused,
    ])
  }
  const { view, attempt } = running
  if (attempt.phase.kind === 'returning') {
    draft.setAttempt({
      ...attempt,
      phase: { ...attempt.phase, ending: { ...attempt.phase.ending, finish: 'cancelled' } },
    })
    return answer(
      draft,
      request,
      { kind: 'accepted', incidentId: null, text: `task ${taskId} ends with its attempt` },
      nowMs,
    )
  }
  const ending = {
    outcome: 'cancelled',
    counted: false,
    lost: false,
    error: null,
    evidence: [`cancelled by ${request.who}`],
    finish: 'cancelled',
  } as const
  revokeAttempt(draft, attempt, ending, nowMs + view.spec.recovery.resetMs)
  askToReset(draft, view, attempt, `cancelled by ${request.who}`)
  return answer(
    draft,
    request,
    { kind: 'accepted', incidentId: null, text: `task ${taskId} is being cancelled` },
    nowMs,
  )
}

function answer(
  draft: Draft,
  request: OperatorRequest,
  reply: OperatorAnswer,
  atMs: number,
  refused: readonly { readonly kind: 'answer'; readonly request: number; readonly answer: OperatorAnswer }[] = [],
): Outcome {
  const { command } = request
  const target = 'replica' in command ? command.replica : 'pool' in command ? command.pool : command.taskId
  draft.change({ kind: 'audit', atMs, who: request.who, what: command.kind, target, reason: request.reason })
  draft.effect({ kind: 'answer', request: request.id, answer: reply })
  return draft.finish(refused)
}

function refuse(request: OperatorRequest, text: string): Outcome {
  const draft = new Draft()
  draft.effect({ kind: 'answer', request: request.id, answer: { kind: 'conflict', text } })
  return draft.finish()
}
