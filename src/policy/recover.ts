import type { Fault } from '../model/fault.ts'
import type { Incident } from '../model/incident.ts'
import { limits } from '../model/limits.ts'
import type { AfterStop, AttemptRow, DependencyRow, Ending, FailureMark, PoolRow, ReplicaRow } from '../model/rows.ts'
import { askToReset, endAttempt, finishReturning, refundAttempts, revokeAttempt } from './attempts.ts'
import { attribute } from './attribute.ts'
import { blameTask } from './blame.ts'
import { escalate } from './escalate.ts'
import { anyDependency, dependencyOf } from './evidence.ts'
import { faultTable, severityOf } from './fault-table.ts'
import { holdingDependency } from './hold.ts'
import { act, askForReview, close, incidentId, note, openIncident, worsen } from './incident.ts'
import { spawnTimeMs } from './intensity.ts'
import { countSoft, observeOnly } from './observe-only.ts'
import { Draft, type Outcome, type View } from './outcome.ts'
import { failedStartsBeforeHold, holdPool } from './pool-hold.ts'
import { poolRecordOf, recordOf } from './rows.ts'
import type { Judgement, Sign } from './sign.ts'

/** SIGKILL has two seconds to show; then we go on without the exit. One more for the message to arrive. */
const killConfirmMs = 3_000

/**
 * The way of every fault: attribute (R1), charge, pick the rung (R3), write the
 * incident and the action (R9), fence the tasks (R6), and only then act.
 */
export function onFault(view: View, sign: Sign): Outcome {
  const draft = new Draft()
  const judged = judge(draft, view, sign)
  if (view.spec.recovery.mode === 'observe' && !sign.gone) return observeOnly(draft, view, judged)
  const incident = record(draft, view, judged)
  if (judged.action === 'soft_restart') countSoft(draft, view)
  const replica: ReplicaRow = {
    ...draft.replica(view.replica),
    incidentId: incident.id,
    probationUntilMs: null,
    judgement: null,
  }
  draft.setReplica(replica)
  if (sign.gone) {
    endAll(draft, view, judged)
    afterGone(draft, view, afterwards(view, judged))
  } else if (judged.rung === 'soft_restart' && sign.attempt !== null) {
    const ending = endingOf(sign, !judged.excused, false)
    revokeAttempt(draft, sign.attempt, ending, view.nowMs + view.spec.recovery.resetMs)
    askToReset(draft, view, sign.attempt, sign.evidence.at(-1) ?? sign.kind)
    draft.change({ kind: 'replica', record: recordOf(replica) })
  } else if (mayFinishFirst(view, sign)) {
    drainFirst(draft, view, judged)
  } else {
    stop(draft, view, judged)
  }
  return draft.finish()
}

function judge(draft: Draft, view: View, sign: Sign): Judgement {
  const { nowMs, spec, replica } = view
  const row = faultTable[sign.kind]
  const running = sign.attempt !== null ? [sign.attempt] : row.drainsFirst === 'no' ? surelyUnderWay(view) : []
  const suspect = mostSuspect(running, view.pool.marks)
  const taskId = suspect?.taskId ?? null
  const suspects = running.map((attempt) => attempt.taskId)
  const holding = holdingDependency(spec, view.dependencies)
  const dependency = dependencyOf(suspect, sign.error)
  const counts = holding === null && sign.kind !== 'start_failed' && taskId !== null
  const mark: FailureMark = {
    ...{ atMs: nowMs, kind: sign.kind, replica: replica.name, taskId, dependency },
    ...{ suspects, awaited: suspects, counted: counts, lost: counts && row.needsHard },
  }
  const marks = [...view.pool.marks.filter((old) => nowMs - old.atMs < spec.recovery.strikePeriodMs), mark].slice(
    -limits.failureMarks,
  )
  const verdict = attribute(marks, mark, {
    nowMs,
    convicted: wasConvicted(sign.attempt),
    dependency: namedRow(view, dependency, holding),
    nodeRefused: sign.nodeRefused ?? null,
    lagMs: view.lagMs,
  })
  const blameless = verdict.culprit === 'dependency' || verdict.culprit === 'node'
  const failedStarts = view.pool.failedStarts + (sign.kind === 'start_failed' && !blameless ? 1 : 0)
  draft.pool = { ...view.pool, marks, failedStarts }
  // An agent that could not reach what others reach has spoilt its tasks: they get their attempts back (R1).
  if (verdict.culprit === 'agent' && dependency !== null)
    refundAttempts(
      draft,
      { pool: view.pool, attempts: view.poolAttempts },
      (old) => old !== mark && old.replica === replica.name && old.dependency === dependency,
    )
  const fault: Fault = {
    kind: sign.kind,
    culprit: verdict.culprit,
    pool: spec.name,
    replica: replica.name,
    incarnation: replica.incarnation,
    taskId,
    dependency: dependency === anyDependency ? null : dependency,
    firstSignMs: sign.firstSignMs,
    evidence: sign.evidence,
  }
  if (failedStarts >= failedStartsBeforeHold)
    holdPool(draft, view, `${failedStarts} starts in a row failed: the agent may be defective`)
  const needsHard = row.needsHard || sign.needsHard
  const held = (draft.pool.hold?.cause ?? null) === 'defective_agent'
  // A hold makes every verdict doubtful: what is broken is mended, and nobody is charged for it (R2).
  const excused = blameless || holding !== null
  if (verdict.culprit === 'task' || held || excused) {
    const rung = needsHard ? 'hard_restart' : 'soft_restart'
    return { sign, fault, verdict, excused, rung, strike: 0, action: sign.gone ? 'replace' : rung }
  }
  const id = view.incident?.id ?? incidentId(replica.name, nowMs)
  const charge = { atMs: nowMs, incidentId: id, taskId, dependency, needsHard }
  const charged = escalate(replica.strikes, charge, spec.recovery)
  draft.setReplica({ ...replica, strikes: charged.strikes })
  return { sign, fault, verdict, excused, rung: charged.rung, strike: charged.strike, action: charged.rung }
}

/** It was ended because its task is too large or has used up its budget: an agent that does not let go of it changes nothing about that. */
function wasConvicted(attempt: AttemptRow | null): boolean {
  if (attempt?.phase.kind !== 'returning') return false
  const { finish, outcome } = attempt.phase.ending
  return finish === 'too_large' || outcome === 'budget_exceeded'
}

/** The dependency whose witnesses are heard: the one that is named; where only the words are those of one, the one that holds the pool. */
function namedRow(view: View, dependency: string | null, holding: DependencyRow | null): DependencyRow | null {
  if (dependency === null) return null
  return dependency === anyDependency ? holding : (view.dependencies.get(dependency) ?? null)
}

/** The first attempts in the order of dispatch, as many as run at a time: these were surely under way. */
function surelyUnderWay({ attempts, spec }: View): readonly AttemptRow[] {
  return attempts.filter((attempt) => attempt.phase.kind !== 'returning').slice(0, spec.concurrency)
}

/** The one that was in hand at most failures before; of several the first in order. */
function mostSuspect(running: readonly AttemptRow[], marks: readonly FailureMark[]): AttemptRow | null {
  const seen = (attempt: AttemptRow): number => marks.filter(({ suspects }) => suspects.includes(attempt.taskId)).length
  return running.toSorted((a, b) => seen(b) - seen(a))[0] ?? null
}

/** Opens, continues or follows up the replica's incident, with the verdict and the action in it. */
function record(draft: Draft, view: View, judged: Judgement): Incident {
  const { nowMs, replica } = view
  const { fault, verdict, action, strike } = judged
  let before = view.incident
  // In the very millisecond in which it was opened (by an operator, say) it is the same trouble, and has the same name.
  const isAnother = before !== null && before.id !== incidentId(replica.name, nowMs)
  if (before !== null && isAnother && before.status === 'probation' && before.fault.kind !== fault.kind) {
    const closed = close(before, nowMs, `another fault followed in the probation: ${fault.kind}`)
    draft.setIncident(closed)
    draft.change({ kind: 'incident', incident: closed })
    draft.notice({ kind: 'incident', incident: closed, severity: 'info', change: 'closed', atMs: nowMs })
    before = null
  }
  const reason = `${fault.kind}, culprit ${verdict.culprit}: ${verdict.because}`
  const opened = before === null ? openIncident(fault, nowMs, replica.name) : worsen(before, fault)
  const noted = note({ ...opened, verdict }, 'verdict', nowMs, reason)
  const acted = act(noted, {
    kind: action,
    atMs: nowMs,
    replica: replica.name,
    incarnation: replica.incarnation,
    taskId: fault.taskId,
    strike,
    reason,
  })
  const quarantined = judged.rung === 'quarantine'
  const incident = quarantined ? askForReview(acted, nowMs, 'quarantined: a person must look and release it') : acted
  draft.setIncident(incident)
  draft.change({ kind: 'incident', incident })
  draft.notice(
    {
      kind: 'incident',
      incident,
      severity: severityOf(judged.rung),
      change: before === null ? 'opened' : 'changed',
      atMs: nowMs,
    },
    {
      kind: 'action',
      pool: view.spec.name,
      replica: replica.name,
      taskId: fault.taskId,
      action,
      fault: fault.kind,
      incidentId: incident.id,
      reason,
      atMs: nowMs,
    },
  )
  if (verdict.culprit === 'task' && fault.taskId !== null) blameTask(draft, view, fault.taskId, verdict)
  return incident
}

function endingOf(sign: Sign, counted: boolean, lost: boolean): Ending {
  const outcome = counted ? faultTable[sign.kind].outcome : 'returned'
  return {
    outcome,
    counted,
    lost,
    error: counted ? sign.error : null,
    evidence: counted ? sign.evidence : [],
    finish: null,
    doNot: sign.doNot ?? [],
  }
}

/**
 * Which attempts the end of a process counts for (R8): without a guilty one, the
 * first `concurrency` in order, since a SIGKILL leaves no time for a `started`
 * frame; the prefetched rest goes back as if it had never left.
 */
function endings(view: View, { sign, excused }: Judgement): ReadonlyMap<string, Ending> {
  const open = view.attempts.filter((attempt) => attempt.phase.kind !== 'returning')
  const guilty =
    sign.attempt === null ? surelyUnderWay(view) : open.filter((attempt) => attempt.taskId === sign.attempt?.taskId)
  const counts = sign.kind !== 'start_failed' && !excused
  return new Map(
    open.map((attempt) => [
      attempt.taskId,
      endingOf(sign, counts && guilty.includes(attempt), counts && guilty.includes(attempt)),
    ]),
  )
}

function endAll(draft: Draft, view: View, judged: Judgement): void {
  const written = endings(view, judged)
  for (const attempt of view.attempts) {
    const ending = written.get(attempt.taskId)
    if (ending === undefined) finishReturning(draft, view, attempt)
    else endAttempt(draft, view, attempt, ending)
  }
}

/** What it has in hand runs on for a while: it works still, or only one of several attempts is at fault. */
function mayFinishFirst(view: View, sign: Sign): boolean {
  const row = faultTable[sign.kind]
  return row.drainsFirst !== 'no' || (!row.needsHard && hasRunningSiblings(view, sign))
}

function hasRunningSiblings(view: View, sign: Sign): boolean {
  return view.attempts.some((attempt) => attempt.phase.kind === 'running' && attempt.taskId !== sign.attempt?.taskId)
}

/** A hard restart for one attempt's fault first lets its siblings finish (product.md, section 3). */
function drainFirst(draft: Draft, view: View, judged: Judgement): void {
  const { nowMs, spec } = view
  const { sign, excused } = judged
  const { drainsFirst } = faultTable[sign.kind]
  const untilMs = drainsFirst === 'whole' ? Number.POSITIVE_INFINITY : nowMs + spec.recovery.drainMs
  if (sign.attempt !== null && sign.attempt.phase.kind !== 'returning') {
    revokeAttempt(draft, sign.attempt, endingOf(sign, !excused, !excused), untilMs)
    askToReset(draft, view, sign.attempt, sign.evidence.at(-1) ?? sign.kind)
  }
  const after = afterwards(view, judged)
  const row: ReplicaRow = { ...draft.replica(view.replica), phase: { kind: 'draining', untilMs, after } }
  draft.setReplica(row)
  draft.change({ kind: 'replica', record: recordOf(row) })
  noticePhase(draft, row, nowMs)
}

function stop(draft: Draft, view: View, judged: Judgement): void {
  const { sign } = judged
  const graceMs = faultTable[sign.kind].graceless ? 0 : view.spec.recovery.graceMs
  const written = endings(view, judged)
  for (const attempt of view.attempts) {
    const ending = written.get(attempt.taskId)
    if (ending !== undefined) revokeAttempt(draft, attempt, ending, Number.POSITIVE_INFINITY)
  }
  terminate(draft, view, graceMs, afterwards(view, judged))
}

/** What becomes of the place. What was decided before the fault, for which the drain made time, still holds. */
function afterwards({ replica: { phase } }: View, { rung }: Judgement): AfterStop {
  if (rung === 'quarantine') return 'quarantine'
  return phase.kind === 'draining' ? phase.after : 'restart'
}

/** Tells the process to end. Its attempts must be returning by now; they end with the exit. */
export function terminate(draft: Draft, view: View, graceMs: number, after: AfterStop): void {
  const { nowMs } = view
  const giveUpAtMs = nowMs + graceMs + killConfirmMs
  const row: ReplicaRow = {
    ...draft.replica(view.replica),
    judgement: null,
    phase: { kind: 'stopping', sinceMs: nowMs, giveUpAtMs, after },
  }
  draft.setReplica(row)
  draft.change({ kind: 'replica', record: recordOf(row) })
  draft.effect({ kind: 'terminate', replica: row.name, incarnation: row.incarnation, graceMs })
  noticePhase(draft, row, nowMs)
}

/** The process is gone (or given up): what the place does next. */
export function afterGone(draft: Draft, view: View, after: AfterStop): void {
  const { nowMs, spec } = view
  const row = draft.replica(view.replica)
  const pool = draft.pool ?? view.pool
  if (after === 'remove') {
    forget(draft, pool, row, nowMs)
    return
  }
  const empty = { pid: null, startTicks: null, memoryBytes: null, judgement: null }
  if (after === 'quarantine') {
    const quarantined: ReplicaRow = { ...row, ...empty, phase: { kind: 'quarantined', sinceMs: nowMs } }
    draft.setReplica(quarantined)
    draft.change({ kind: 'replica', record: recordOf(quarantined) })
    noticePhase(draft, quarantined, nowMs)
    return
  }
  const waiting: ReplicaRow = {
    ...row,
    ...empty,
    phase: { kind: 'waiting', spawnAtMs: spawnTimeMs(row, spec, nowMs) },
    replacedMs: [...row.replacedMs.filter((at) => nowMs - at < spec.recovery.strikePeriodMs), nowMs].slice(
      -limits.timelineLength,
    ),
  }
  draft.setReplica(waiting)
  draft.change({ kind: 'replica', record: recordOf(waiting) })
  noticePhase(draft, waiting, nowMs)
}

/** The place is gone. What its last process may still say must not pass for a later one's. */
export function forget(draft: Draft, pool: PoolRow, row: ReplicaRow, atMs: number): void {
  const current = draft.pool ?? pool
  draft.pool = { ...current, incarnationFloor: Math.max(current.incarnationFloor, row.incarnation) }
  draft.removed.push(row.name)
  draft.change({ kind: 'forget_replica', replica: row.name }, { kind: 'pool', record: poolRecordOf(draft.pool) })
  const { name, incarnation } = row
  draft.notice({ kind: 'replica', replica: name, pool: row.pool, phase: 'removed', incarnation, atMs })
}

export function noticePhase(draft: Draft, row: ReplicaRow, atMs: number): void {
  draft.notice({
    kind: 'replica',
    replica: row.name,
    pool: row.pool,
    phase: row.phase.kind,
    incarnation: row.incarnation,
    atMs,
  })
}
