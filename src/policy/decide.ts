import { assertNever } from '../model/assert.ts'
import type { Fault } from '../model/fault.ts'
import { limits } from '../model/limits.ts'
import type { AttemptRow, ReplicaRow } from '../model/rows.ts'
import { askToReset, revokeAttempt } from './attempts.ts'
import { judgeProgress } from './detect/stall.ts'
import { onGrid } from './grid.ts'
import { ask, probeWakeMs, timedOut } from './health/probe.ts'
import { judgePulse } from './health/pulse.ts'
import { waitsFor } from './hold.ts'
import { poolSpawnTimeMs } from './intensity.ts'
import { compactionsDue } from './misbehave.ts'
import { Draft, type Outcome, type View, withReplica } from './outcome.ts'
import { budgetsDue } from './overspend.ts'
import { isCanary } from './pool-hold.ts'
import { passProbation } from './probation.ts'
import { condemn, startFailed } from './react.ts'
import { noticePhase, onFault, terminate } from './recover.ts'
import { resetLater, standsStill } from './reset.ts'
import { heard, recordOf } from './rows.ts'

/** How long the inspector may take to say where a process is stuck, before it is killed without. */
const stackMs = 1_500

export interface Decided {
  /** One thing to do now; ask again afterwards. `null`: nothing. */
  readonly outcome: Outcome | null
  /** Without news there is nothing new to say before then. */
  readonly wakeAtMs: number
}

/** Compares what a replica should be with what it is. */
export function decideReplica(view: View): Decided {
  const { phase } = view.replica
  switch (phase.kind) {
    case 'waiting':
      return decideWaiting(view, phase.spawnAtMs)
    case 'starting': {
      const dueMs = phase.startBeforeMs + view.lagMs
      if (view.nowMs < dueMs) return nothing(dueMs)
      const waitedS = ((view.nowMs - phase.sinceMs) / 1000).toFixed(1)
      const sign = startFailed(view, `not ready ${waitedS} s after its start (startup probe)`, null, false)
      return now(onFault(view, { ...sign, firstSignMs: phase.sinceMs }))
    }
    case 'ready':
    case 'draining':
      return decideLive(view)
    case 'stopping': {
      if (view.nowMs < phase.giveUpAtMs) return nothing(phase.giveUpAtMs)
      // The host promises `exited` or `unkillable`. Ask once more, so that a lost word does not hold the place for ever.
      const draft = new Draft()
      draft.setReplica({ ...view.replica, phase: { ...phase, giveUpAtMs: view.nowMs + 5_000 } })
      draft.effect({ kind: 'terminate', replica: view.replica.name, incarnation: view.replica.incarnation, graceMs: 0 })
      return now(draft.finish())
    }
    case 'quarantined':
      return nothing(Number.POSITIVE_INFINITY)
    default:
      return assertNever(phase)
  }
}

function decideWaiting(view: View, spawnAtMs: number): Decided {
  const { nowMs, spec, pool, replica } = view
  if (view.shuttingDown) return nothing(Number.POSITIVE_INFINITY)
  if (pool.hold?.cause === 'defective_agent' && !isCanary(view)) return nothing(Number.POSITIVE_INFINITY)
  if (nowMs < spawnAtMs) return nothing(spawnAtMs)
  const recovering = view.siblings.filter((row) => row.phase.kind === 'starting' && row.replacedMs.length > 0).length
  if (replica.replacedMs.length > 0 && recovering >= spec.recovery.maxRecovering)
    return nothing(Number.POSITIVE_INFINITY)
  const replaces = replica.replacedMs.length > 0
  const pacedUntilMs = replaces ? poolSpawnTimeMs(pool, spec, nowMs) : nowMs
  if (nowMs < pacedUntilMs) return pool.paced ? nothing(pacedUntilMs) : now(tellPaced(view))
  const { startup } = spec.health
  const startBeforeMs = nowMs + startup.initialDelayMs + startup.periodMs * startup.failureThreshold
  const row: ReplicaRow = {
    ...replica,
    incarnation: replica.incarnation + 1,
    phase: { kind: 'starting', sinceMs: nowMs, startBeforeMs },
    // What was seen of the last process says nothing about this one.
    pulse: heard(nowMs),
    checks: {},
    leaseSentMs: nowMs,
  }
  const draft = new Draft()
  draft.setReplica(row)
  draft.change({ kind: 'replica', record: recordOf(row) })
  draft.effect({ kind: 'spawn', replica: row.name, incarnation: row.incarnation, pool: spec.name })
  noticePhase(draft, row, nowMs)
  if (replaces) {
    const recent = pool.replacedMs.filter((at) => nowMs - at < spec.recovery.intensityPeriodMs)
    draft.pool = { ...pool, paced: false, replacedMs: [...recent, nowMs].slice(-limits.failureMarks) }
  }
  return now(draft.finish())
}

function tellPaced(view: View): Outcome {
  const { pool, spec, nowMs } = view
  const { intensity, intensityPeriodMs } = spec.recovery
  const draft = new Draft()
  draft.pool = { ...pool, paced: true }
  const text = `pool ${pool.name}: ${intensity} replacements in ${intensityPeriodMs / 1000} s, further ones are paced`
  draft.notice({ kind: 'node', severity: 'critical', atMs: nowMs, text })
  return draft.finish()
}

/** The first of these that has something to do decides; the earliest of their times wakes us. */
const duties: readonly ((view: View) => Decided)[] = [
  decidePulse,
  decideAttempts,
  compactionsDue,
  budgetsDue,
  decideLiveness,
  decideReadiness,
  decideLease,
  decideProbation,
  decideDrain,
]

function decideLive(view: View): Decided {
  let wakeAtMs = Number.POSITIVE_INFINITY
  for (const duty of duties) {
    const decided = duty(view)
    if (decided.outcome !== null) return decided
    wakeAtMs = Math.min(wakeAtMs, decided.wakeAtMs)
  }
  return nothing(wakeAtMs)
}

function decidePulse(view: View): Decided {
  const { nowMs, replica, spec, attempts, lagMs } = view
  if (replica.judgement !== null) {
    return nowMs < replica.judgement.untilMs ? nothing(replica.judgement.untilMs) : now(condemn(view, []))
  }
  if (wasSaid(replica)) return nothing(Number.POSITIVE_INFINITY)
  const verdict = judgePulse(replica, attempts, spec.pulse, spec.deadlines.stepMs, nowMs, lagMs)
  if (verdict.kind === 'fine') return nothing(verdict.wakeAtMs)
  const { name, incarnation } = replica
  if (verdict.kind === 'look') {
    const draft = new Draft()
    draft.setReplica({ ...replica, pulse: { ...replica.pulse, askedMs: nowMs } })
    draft.effect({ kind: 'look', replica: name, incarnation })
    return now(draft.finish())
  }
  const fault: Fault = {
    kind: 'unresponsive',
    culprit: 'unknown',
    pool: spec.name,
    replica: name,
    incarnation,
    taskId: null,
    dependency: null,
    firstSignMs: replica.pulse.lastMs,
    evidence: verdict.evidence,
  }
  const row = { ...replica, judgement: { fault, untilMs: nowMs + stackMs } }
  // A stopped process cannot answer its inspector.
  if (verdict.why === 'stopped') return now(condemn(withReplica(view, row), []))
  const draft = new Draft()
  draft.setReplica(row)
  draft.effect({ kind: 'capture_stack', replica: name, incarnation })
  return now(draft.finish())
}

function decideAttempts(view: View): Decided {
  const { nowMs, spec, lagMs } = view
  const draining = view.replica.phase.kind === 'draining' ? view.replica.phase : null
  let wakeAtMs = Number.POSITIVE_INFINITY
  for (const attempt of view.attempts) {
    const isSaid = view.watches.get(attempt.taskId)?.stallSaid === true // R12: and nothing is done about it.
    if (attempt.phase.kind === 'returning') {
      // A drain with an end takes along whoever has not let go by then: that is no new fault.
      if (isSaid || (draining !== null && Number.isFinite(draining.untilMs))) continue
      const dueMs = attempt.phase.untilMs + lagMs
      if (nowMs >= dueMs) return now(standsStill(view) ? resetLater(view, attempt) : resetTimedOut(view, attempt))
      wakeAtMs = Math.min(wakeAtMs, dueMs)
      continue
    }
    if (attempt.deadlineMs !== null && nowMs >= attempt.deadlineMs) return now(pastDeadline(view, attempt))
    if (waitsFor(attempt, spec, view.dependencies) !== null) {
      // Its clocks stand still until the dependency is back (R2); the submitter's deadline does not.
      wakeAtMs = Math.min(wakeAtMs, attempt.deadlineMs ?? Number.POSITIVE_INFINITY)
      continue
    }
    if (isSaid) continue
    const verdict = judgeProgress(attempt, spec.deadlines, nowMs, lagMs)
    if (verdict.kind === 'stalled' && draining !== null) return now(endInDrain(view, attempt, verdict.evidence))
    if (verdict.kind === 'stalled') {
      const error = { name: 'stalled', message: verdict.evidence[0] ?? 'stalled' }
      const sign = {
        kind: 'stalled',
        evidence: verdict.evidence,
        firstSignMs: verdict.sinceMs,
        attempt,
        error,
        gone: false,
        needsHard: false,
      } as const
      return now(onFault(view, sign))
    }
    wakeAtMs = Math.min(wakeAtMs, verdict.wakeAtMs, attempt.deadlineMs ?? Number.POSITIVE_INFINITY)
  }
  return nothing(wakeAtMs)
}

/** The process goes anyway: a stall in its last tasks ends the attempt and charges nobody. */
function endInDrain(view: View, attempt: AttemptRow, evidence: readonly string[]): Outcome {
  const draft = new Draft()
  const error = { name: 'stalled', message: evidence[0] ?? 'stalled' }
  const ending = { outcome: 'stalled', counted: true, lost: false, error, evidence, finish: null } as const
  revokeAttempt(draft, attempt, ending, view.nowMs + view.spec.recovery.resetMs)
  askToReset(draft, view, attempt, error.message)
  return draft.finish()
}

/** The function ignores its signal: another reset cannot help, so the next rung is the hard one. */
function resetTimedOut(view: View, attempt: AttemptRow): Outcome {
  const evidence = [`task ${attempt.taskId} did not let go within ${view.spec.recovery.resetMs / 1000} s of its reset`]
  const error = { name: 'reset_timed_out', message: evidence[0] ?? '' }
  return onFault(view, {
    kind: 'stalled',
    evidence,
    firstSignMs: view.nowMs,
    attempt,
    error,
    gone: false,
    needsHard: true,
  })
}

/** The submitter's deadline has passed: nobody's fault, and nobody needs the result. */
function pastDeadline(view: View, attempt: AttemptRow): Outcome {
  const draft = new Draft()
  const ending = {
    outcome: 'deadline_exceeded',
    counted: false,
    lost: false,
    error: null,
    evidence: [],
    finish: 'deadline',
  } as const
  revokeAttempt(draft, attempt, ending, view.nowMs + view.spec.recovery.resetMs)
  askToReset(draft, view, attempt, "the submitter's deadline has passed")
  return draft.finish()
}

/** The slow net under the pulse watch: an idle replica that does not answer. With tasks in hand their deadlines judge (R7). */
function decideLiveness(view: View): Decided {
  const { nowMs, replica, spec, lagMs } = view
  const spent = timedOut(replica.liveness, spec.health.liveness, nowMs, lagMs)
  if (spent !== null) {
    const row = { ...replica, liveness: spent }
    if (spent.verdict === 'failed' && view.attempts.length === 0 && !isStarved(view) && !wasSaid(replica)) {
      const evidence = [
        `${spent.failures} liveness probes in a row were not answered within ${spec.health.liveness.timeoutMs / 1000} s`,
      ]
      const sign = {
        kind: 'unresponsive',
        evidence,
        firstSignMs: replica.pulse.lastMs,
        attempt: null,
        error: null,
        gone: false,
        needsHard: true,
      } as const
      return now(onFault(withReplica(view, row), sign))
    }
    return now(update(row))
  }
  const asked = ask(replica.liveness, spec.health.liveness, nowMs)
  if (asked === null) return nothing(probeWakeMs(replica.liveness, lagMs))
  const draft = new Draft()
  draft.setReplica({ ...replica, liveness: asked })
  draft.effect({ kind: 'ping', replica: replica.name, incarnation: replica.incarnation, ping: asked.asked?.id ?? 0 })
  return now(draft.finish())
}

/**
 * It pulsed while the probes went by, and now it is silent: its neighbours eat
 * the processor (R7). Pulses without answers, and silence all along, are not that.
 */
function isStarved(view: View): boolean {
  const { timeoutMs, periodMs, failureThreshold } = view.spec.health.liveness
  const silentMs = view.nowMs - view.replica.pulse.lastMs
  return silentMs >= timeoutMs && silentMs < (failureThreshold - 1) * periodMs
}

/** A pool that only observes says it once of each silence. */
function wasSaid({ observedMs, pulse }: ReplicaRow): boolean {
  return observedMs === pulse.lastMs
}

function decideReadiness(view: View): Decided {
  const { nowMs, replica, spec, lagMs } = view
  const probe = spec.health.readiness
  const spent = timedOut(replica.readiness, probe, nowMs, lagMs)
  if (spent !== null) {
    const reason = `no answer within ${probe.timeoutMs / 1000} s`
    const checks = Object.fromEntries(Object.keys(replica.checks).map((name) => [name, { ok: false, reason } as const]))
    return now(update({ ...replica, readiness: spent, checks }))
  }
  const asked = ask(replica.readiness, probe, nowMs)
  if (asked === null) return nothing(probeWakeMs(replica.readiness, lagMs))
  const draft = new Draft()
  draft.setReplica({ ...replica, readiness: asked })
  draft.effect({
    kind: 'check',
    replica: replica.name,
    incarnation: replica.incarnation,
    probe: asked.asked?.id ?? 0,
    timeoutMs: probe.timeoutMs,
  })
  return now(draft.finish())
}

/** Evidence of life prolongs the leases; our own frame prolongs the host's right to act. */
function decideLease(view: View): Decided {
  const { nowMs, replica, spec, attempts } = view
  const everyMs = spec.leaseMs / 3
  const frameDueMs = onGrid(replica.leaseSentMs + everyMs, everyMs)
  const renewDueMs =
    attempts.length === 0 || replica.pulse.heardMs <= replica.renewedMs
      ? Number.POSITIVE_INFINITY
      : onGrid(replica.renewedMs + everyMs, everyMs)
  if (nowMs < frameDueMs && nowMs < renewDueMs) return nothing(Math.min(frameDueMs, renewDueMs))
  const draft = new Draft()
  let row = replica
  if (nowMs >= frameDueMs) {
    row = { ...row, leaseSentMs: nowMs }
    draft.effect({ kind: 'lease', replica: row.name, incarnation: row.incarnation, leaseMs: spec.leaseMs })
  }
  if (nowMs >= renewDueMs) {
    row = { ...row, renewedMs: nowMs }
    const leases = attempts
      .filter((attempt) => attempt.phase.kind !== 'returning')
      .map(({ taskId, fence }) => ({ taskId, fence }))
    draft.change({ kind: 'renew', leases, untilMs: replica.pulse.heardMs + spec.leaseMs })
  }
  draft.setReplica(row)
  return now(draft.finish())
}

/** A drained replica goes when its last task is done, or when its time is up: what is cut off returns uncounted. */
function decideDrain(view: View): Decided {
  const { nowMs, replica, attempts, spec } = view
  if (replica.phase.kind !== 'draining') return nothing(Number.POSITIVE_INFINITY)
  const { untilMs, after } = replica.phase
  if (attempts.length > 0 && nowMs < untilMs) return nothing(untilMs)
  const draft = new Draft()
  const ending = {
    outcome: 'returned',
    counted: false,
    lost: false,
    error: null,
    evidence: ['cut off by the end of a drain'],
    finish: null,
  } as const
  for (const attempt of attempts) revokeAttempt(draft, attempt, ending, Number.POSITIVE_INFINITY)
  terminate(draft, view, spec.recovery.graceMs, after)
  return now(draft.finish())
}

function decideProbation(view: View): Decided {
  const { outcome, wakeAtMs } = passProbation(view)
  return outcome === null ? nothing(wakeAtMs) : now(outcome)
}

function update(row: ReplicaRow): Outcome {
  const draft = new Draft()
  draft.setReplica(row)
  return draft.finish()
}

function nothing(wakeAtMs: number): Decided {
  return { outcome: null, wakeAtMs }
}

function now(outcome: Outcome | null): Decided {
  return { outcome, wakeAtMs: Number.NEGATIVE_INFINITY }
}
