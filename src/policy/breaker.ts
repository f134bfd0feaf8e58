import type { DependencyRecord } from '../model/change.ts'
import type { ReplicaName, TaskId } from '../model/ids.ts'
import type { Witness } from '../model/incident.ts'
import type { DependencySpec } from '../model/probe.ts'
import type { DependencyRow, DependencyWitness } from '../model/rows.ts'
import { newProbe } from './rows.ts'

/** Failures of one replica in a row, on at least two tasks, that accuse it when others got through meanwhile. */
const failuresOfOne = 3
const tasksKept = 5
/** Without an answer for so long, and so many times as long as it took before, a check that was asked as a witness is overdue. */
const overdueMs = 1_000
const overdueFactor = 5
/** How often a replica in doubt is given a task: as often as its dependency is asked meanwhile. */
const doubtfulEveryMs = 1_000
/** A success is written into the cross table at most so often: at thousands of calls a second it says nothing new. */
const successEveryMs = 250
/** How soon a suspect dependency is asked after its last answer, ms. */
const suspectEveryMs = 1_000
/**
 * Failures with no success of anybody in between, and for so long, are an outage
 * however many calls succeeded just before. With 30 % of 5xx ten in a row come
 * once in 170,000 calls; a second's silence keeps a hiccup from holding a pool.
 */
const failuresInARow = 10
const silenceMs = 1_000

export function newDependency(spec: DependencySpec, nowMs: number): DependencyRow {
  return {
    spec,
    breaker: { kind: 'closed', sinceMs: nowMs, thawedMs: null },
    openedMs: [],
    check: newProbe(spec.probe, nowMs),
    last: null,
    traffic: { sinceMs: nowMs, ok: 0, failed: 0, okBefore: 0, failedBefore: 0 },
    witnesses: {},
    suspectMs: null,
    incidentId: null,
    stableMs: null,
  }
}

const unseen: DependencyWitness = {
  failures: 0,
  firstFailureMs: null,
  lastFailureMs: null,
  lastSuccessMs: null,
  taskIds: [],
}

export interface Sighting {
  readonly replica: ReplicaName
  readonly taskId: TaskId
  readonly ok: boolean
  readonly atMs: number
  /** When the call began, or where that is not known its attempt. */
  readonly begunMs: number
}

/** Folds one call of an agent: real traffic is the best check. */
export function saw(row: DependencyRow, sighting: Sighting): DependencyRow {
  const { replica, taskId, ok, atMs } = sighting
  const traffic = counted(turned(row, atMs).traffic, ok)
  const before = row.witnesses[replica] ?? unseen
  if (ok && before.failures === 0 && atMs - (before.lastSuccessMs ?? Number.NEGATIVE_INFINITY) < successEveryMs)
    return { ...row, traffic }
  const witness: DependencyWitness = ok
    ? { ...unseen, lastSuccessMs: atMs }
    : {
        failures: before.failures + 1,
        firstFailureMs: before.failures === 0 ? atMs : before.firstFailureMs,
        lastFailureMs: atMs,
        lastSuccessMs: before.lastSuccessMs,
        taskIds: [...before.taskIds.filter((id) => id !== taskId), taskId].slice(-tasksKept),
      }
  return { ...row, traffic, witnesses: { ...row.witnesses, [replica]: witness } }
}

/** The sliding window in two halves: the old half drops out as a whole. */
function turned(row: DependencyRow, atMs: number): DependencyRow {
  const halfMs = row.spec.breaker.windowMs / 2
  const { sinceMs, ok, failed } = row.traffic
  const passed = Math.floor((atMs - sinceMs) / halfMs)
  if (passed < 1) return row
  const traffic =
    passed === 1
      ? { sinceMs: sinceMs + halfMs, ok: 0, failed: 0, okBefore: ok, failedBefore: failed }
      : { sinceMs: atMs, ok: 0, failed: 0, okBefore: 0, failedBefore: 0 }
  return { ...row, traffic }
}

function counted(traffic: DependencyRow['traffic'], ok: boolean): DependencyRow['traffic'] {
  return ok ? { ...traffic, ok: traffic.ok + 1 } : { ...traffic, failed: traffic.failed + 1 }
}

export type DependencyVerdict =
  | { readonly kind: 'up' }
  | { readonly kind: 'suspect' }
  | { readonly kind: 'down'; readonly reason: string; readonly confidence: number }

/**
 * Whether what was seen means that the dependency itself is down (R1): its own
 * check says so, or several replicas fail on it and most calls do; or one fails
 * on it and the node's check, the second witness, fails too.
 */
export function judgeDependency(row: DependencyRow, nowMs: number): DependencyVerdict {
  const { breaker: spec } = row.spec
  const { ok, failed, okBefore, failedBefore } = turned(row, nowMs).traffic
  const failures = failed + failedBefore
  const successes = ok + okBefore
  const accusers = accusersOf(row, nowMs)
  const checkFailed = row.last !== null && !row.last.result.ok
  const checked = checkFailed ? `; the node's own check fails too: ${reasonOf(row)}` : ''
  if (row.check.verdict === 'failed')
    return {
      kind: 'down',
      reason: `its check failed ${row.check.failures} times in a row: ${reasonOf(row)}`,
      confidence: 1,
    }
  const enough = successes === 0 ? Math.min(2, spec.failures) : spec.failures
  if (accusers.length >= spec.replicas && failures >= enough && failures > successes) {
    const reason = `${accusers.length} replicas failed on it (${accusers.join(', ')}), ${failures} of ${failures + successes} calls in ${spec.windowMs / 1000} s${checked}`
    return { kind: 'down', reason, confidence: checkFailed ? 1 : failures / (failures + successes) }
  }
  const silence = silenceOf(row, accusers, nowMs)
  if (accusers.length >= spec.replicas && silence.failures >= failuresInARow && silence.forMs >= silenceMs) {
    const reason = `${accusers.length} replicas failed on it (${accusers.join(', ')}), the last ${silence.failures} calls in ${(silence.forMs / 1000).toFixed(1)} s${checked}`
    return { kind: 'down', reason, confidence: 0.9 }
  }
  if (accusers.length > 0 && checkFailed)
    return { kind: 'down', reason: `${accusers.join(', ')} failed on it${checked}`, confidence: 0.9 }
  return accusers.length > 0 || checkFailed ? { kind: 'suspect' } : { kind: 'up' }
}

/**
 * When several replicas fail on it and its check, asked as the second witness, is
 * long past the time in which it answers: one that hangs is down before the check
 * has timed out. Infinity: nothing of that kind.
 */
export function overdueAtMs(row: DependencyRow, nowMs: number): number {
  const { check, last, spec } = row
  if (isDown(row) || check.asked === null) return Number.POSITIVE_INFINITY
  if (accusersOf(row, nowMs).length < spec.breaker.replicas) return Number.POSITIVE_INFINITY
  const usualMs = last?.result.ok === true ? last.latencyMs : 0
  return check.asked.timeoutAtMs - spec.probe.timeoutMs + Math.max(overdueMs, overdueFactor * usualMs)
}

/** Why it counts as down once its check is overdue. */
export function overdueReason(row: DependencyRow, nowMs: number): string {
  const accusers = accusersOf(row, nowMs)
  const askedMs = (row.check.asked?.timeoutAtMs ?? nowMs) - row.spec.probe.timeoutMs
  const forS = ((nowMs - askedMs) / 1_000).toFixed(1)
  return `${accusers.length} replicas failed on it (${accusers.join(', ')}), and the node's own check has had no answer for ${forS} s`
}

/** Failures since anybody's last success, and for how long there was none. */
function silenceOf(
  { witnesses }: DependencyRow,
  accusers: readonly ReplicaName[],
  nowMs: number,
): { readonly failures: number; readonly forMs: number } {
  let lastSuccessMs = Number.NEGATIVE_INFINITY
  for (const { lastSuccessMs: atMs } of Object.values(witnesses)) lastSuccessMs = Math.max(lastSuccessMs, atMs ?? 0)
  let failures = 0
  let firstMs = nowMs
  for (const name of accusers) {
    const { failures: count = 0, firstFailureMs = null } = witnesses[name] ?? {}
    if (firstFailureMs === null || firstFailureMs < lastSuccessMs) continue
    failures += count
    firstMs = Math.min(firstMs, firstFailureMs)
  }
  return { failures, forMs: nowMs - firstMs }
}

/** Several replicas fail on it now: whether it is down is not known yet, and may be. */
export function isAccused(row: DependencyRow, nowMs: number): boolean {
  return accusersOf(row, nowMs).length >= row.spec.breaker.replicas
}

/** Replicas whose last call inside the window failed. */
function accusersOf(row: DependencyRow, nowMs: number): readonly ReplicaName[] {
  return Object.entries(row.witnesses)
    .filter(
      ([, { failures, lastFailureMs }]) =>
        failures > 0 && lastFailureMs !== null && nowMs - lastFailureMs < row.spec.breaker.windowMs,
    )
    .map(([replica]) => replica as ReplicaName)
}

/**
 * Whether the replica alone cannot reach what others reach (R1): it failed time
 * after time on different tasks, and the node's own check, asked since, does not
 * fail: siblings may get through on connections that they still have, while a new
 * one is refused to everybody. That a sibling got through since its first failure
 * says so; where no sibling has anything to say, the check itself is the second
 * witness. A sibling that used it just before has a call under way, perhaps: it is
 * heard first, for one window. After an outage of late the check alone is no
 * witness: it may pass while calls fail.
 */
export function isReplicasOwnFault(row: DependencyRow, replica: ReplicaName): boolean {
  const witness = row.witnesses[replica]
  if (witness === undefined || witness.failures < failuresOfOne || witness.taskIds.length < 2) return false
  const since = witness.firstFailureMs ?? Number.POSITIVE_INFINITY
  const others = Object.entries(row.witnesses).filter(([name]) => name !== replica)
  const { last } = row
  if (last === null || !last.result.ok || last.atMs <= since || isDown(row)) return false
  if (others.some(([, { lastSuccessMs }]) => (lastSuccessMs ?? Number.NEGATIVE_INFINITY) >= since)) return true
  const { windowMs } = row.spec.breaker
  const isUsed = others.some(([, { lastSuccessMs }]) => lastSuccessMs !== null && since - lastSuccessMs < windowMs)
  if (isUsed && (witness.lastFailureMs ?? since) - since < windowMs) return false
  if (wasDown(row, since)) return false
  const othersFail = others.some(([, { failures }]) => failures > 0)
  return !othersFail
}

/**
 * Whether the replica fails on it time after time and nobody knows why yet: until
 * then a task a second must do, or one that fails at once would empty the queue.
 */
export function isDoubtful(row: DependencyRow, replica: ReplicaName, nowMs: number): boolean {
  const { failures, lastFailureMs } = row.witnesses[replica] ?? unseen
  if (failures < failuresOfOne || lastFailureMs === null || isDown(row)) return false
  return nowMs - lastFailureMs < doubtfulEveryMs
}

export function isDown(row: DependencyRow): boolean {
  return row.breaker.kind !== 'closed'
}

/** When it first showed: a verdict refunds everything since. */
export function firstSignMs(row: DependencyRow, nowMs: number): number {
  let first = Math.min(nowMs, row.suspectMs ?? nowMs)
  for (const { failures, firstFailureMs } of Object.values(row.witnesses))
    if (failures > 0 && firstFailureMs !== null) first = Math.min(first, firstFailureMs)
  return first
}

export function opened(row: DependencyRow, reason: string, nowMs: number): DependencyRow {
  const openedMs = [...row.openedMs.filter((at) => nowMs - at < row.spec.breaker.flapMs), nowMs].slice(-50)
  const everyMs = probeEveryMs({ ...row, openedMs })
  // One that was asked as a suspect just now is not asked again at once.
  const notBeforeMs = (row.last?.atMs ?? Number.NEGATIVE_INFINITY) + everyMs
  const isSeen = row.last?.result.ok === false
  const times = { sinceMs: nowMs, firstSignMs: firstSignMs(row, nowMs), passesSinceMs: null }
  return {
    ...row,
    breaker: { kind: 'open', ...times, reason, successes: 0, isSeen },
    openedMs,
    stableMs: null,
    check: { ...row.check, nextAtMs: Math.max(notBeforeMs, Math.min(row.check.nextAtMs, nowMs + everyMs)) },
  }
}

/** An outage inside the flapping time. */
function wasDown(row: DependencyRow, nowMs: number): boolean {
  return row.openedMs.some((at) => nowMs - at < row.spec.breaker.flapMs)
}

/** More than one outage inside the flapping time. */
export function isFlapping(row: DependencyRow, nowMs: number): boolean {
  return row.openedMs.filter((at) => nowMs - at < row.spec.breaker.flapMs).length > 1
}

/** How long it must stay well before its incident is over. */
function stableForMs(row: DependencyRow, nowMs: number): number {
  return isFlapping(row, nowMs) ? row.spec.breaker.flapMs : row.spec.breaker.stableMs
}

/** An open one is asked every `probeMs`, a flapping one half as often again for each opening. */
function probeEveryMs(row: DependencyRow): number {
  const { probeMs, probeMaxMs } = row.spec.breaker
  return Math.min(probeMaxMs, probeMs * (1 + 0.5 * Math.max(0, row.openedMs.length - 1)))
}

/** Successes in a row that an open one needs: one more when it flaps. */
function successesNeeded(row: DependencyRow, nowMs: number): number {
  return row.spec.probe.successThreshold + (isFlapping(row, nowMs) ? 1 : 0)
}

/**
 * An open breaker after one more answer of the check. A check that has failed as
 * well says when it is over. One that passes all the while is no witness, as a
 * list of models where completions fail: then tasks try it, one for each answer
 * (`triedWhileOpen`), as long as there is one that could. Where none has anything
 * to say for as long as makes an outage over, the check is believed after all.
 */
export function answeredWhileOpen(row: DependencyRow, ok: boolean, nowMs: number, canTry = false): DependencyRow {
  const { breaker } = row
  if (breaker.kind === 'closed') return row
  const nextAtMs = nowMs + probeEveryMs(row)
  const check = { ...row.check, nextAtMs }
  if (!ok)
    return { ...row, check, breaker: { ...breaker, kind: 'open', successes: 0, isSeen: true, passesSinceMs: null } }
  const passesSinceMs = breaker.passesSinceMs ?? nowMs
  const half = { ...breaker, kind: 'half_open', passesSinceMs } as const
  if (!breaker.isSeen && canTry && nowMs - passesSinceMs < row.spec.breaker.stableMs)
    // Opened in this very turn, it was asked before: that answer is older than what opened it.
    return { ...row, check, breaker: nowMs > breaker.sinceMs ? half : { ...breaker, passesSinceMs } }
  const successes = breaker.successes + 1
  if (successes < successesNeeded(row, nowMs)) return { ...row, check, breaker: { ...half, successes } }
  return closed(row, nowMs)
}

/** Its check passes and never failed: whether it is over is for a task to find out. */
export function isTried({ breaker }: DependencyRow): boolean {
  return breaker.kind === 'half_open' && !breaker.isSeen
}

/** An open breaker after a call that began since: older ones say nothing about now. */
export function triedWhileOpen(row: DependencyRow, { ok, begunMs, atMs }: Sighting): DependencyRow {
  const { breaker } = row
  if (breaker.kind === 'closed' || breaker.isSeen || begunMs < breaker.sinceMs) return row
  if (!ok) return { ...row, breaker: { ...breaker, kind: 'open', successes: 0, passesSinceMs: null } }
  if (breaker.kind === 'open') return row
  const successes = breaker.successes + 1
  return successes < successesNeeded(row, atMs) ? { ...row, breaker: { ...breaker, successes } } : closed(row, atMs)
}

/** It is back: its pools are let in again. */
export function closed(row: DependencyRow, nowMs: number): DependencyRow {
  return {
    ...row,
    breaker: { kind: 'closed', sinceMs: nowMs, thawedMs: nowMs },
    check: { ...row.check, verdict: 'ok', nextAtMs: nowMs + row.spec.probe.periodMs },
    // What was seen during the outage accuses nobody afterwards.
    witnesses: {},
    suspectMs: null,
    traffic: { sinceMs: nowMs, ok: 0, failed: 0, okBefore: 0, failedBefore: 0 },
    stableMs: nowMs + stableForMs(row, nowMs),
  }
}

/**
 * A suspect is asked soon: its check is the second witness. What fails from now
 * on may be its doing. One that has answered since, or was down of late, is asked
 * as if it were down: its check may pass while calls fail, e.g. for their rate.
 */
export function askSoon(row: DependencyRow, nowMs: number): DependencyRow {
  const suspectMs = row.suspectMs ?? nowMs
  const hasAnswered = row.last !== null && row.last.atMs > suspectMs
  const everyMs = hasAnswered || wasDown(row, nowMs) ? probeEveryMs(row) : suspectEveryMs
  const soonMs = row.last === null ? nowMs : Math.max(nowMs, row.last.atMs + everyMs)
  const nextAtMs = Math.min(row.check.nextAtMs, soonMs)
  return { ...row, suspectMs, check: { ...row.check, nextAtMs } }
}

/** The cross table, as it stands in the incident. */
export function tableOf(row: DependencyRow): readonly Witness[] {
  return Object.entries(row.witnesses).map(([replica, { failures, lastSuccessMs, taskIds }]) => ({
    replica: replica as ReplicaName,
    failures,
    successes: lastSuccessMs === null ? 0 : 1,
    taskIds,
  }))
}

export function reasonOf(row: DependencyRow): string {
  if (row.breaker.kind !== 'closed') return row.breaker.reason
  return row.last === null || row.last.result.ok ? 'no answer' : row.last.result.reason
}

/** As the supervisor before us left it: still down, and asked at once. */
export function restored(row: DependencyRow, record: DependencyRecord, nowMs: number): DependencyRow {
  const { down, openedMs, incidentId } = record
  if (down === null) {
    const before = { ...row, openedMs, incidentId }
    return { ...before, stableMs: incidentId === null ? null : nowMs + stableForMs(before, nowMs) }
  }
  const breaker = { kind: 'open', ...down, successes: 0, isSeen: false, passesSinceMs: null } as const
  return { ...row, openedMs, incidentId, breaker }
}

export function withoutWitness(row: DependencyRow, replica: ReplicaName): DependencyRow {
  return { ...row, witnesses: Object.fromEntries(Object.entries(row.witnesses).filter(([name]) => name !== replica)) }
}
