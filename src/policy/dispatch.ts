import type { Claim } from '../model/change.ts'
import type { Effect } from '../model/effect.ts'
import type { ReplicaName } from '../model/ids.ts'
import { limits } from '../model/limits.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow, PoolRow, ReplicaRow } from '../model/rows.ts'
import type { Lease } from '../model/task.ts'
import { isSilent } from './health/pulse.ts'
import { thawLimit } from './hold.ts'
import { isCanary } from './pool-hold.ts'
import { allowanceOf } from './use.ts'

/** How much running time may wait in a replica's own queue, ms: enough to hide a round trip, too little to be missed elsewhere. */
const prefetchMs = 20

/** Whether the replica may be given a task: readiness gates dispatch, and never restarts anybody. */
export function isDispatchable(row: ReplicaRow, spec: PoolSpec, nowMs: number, lagMs: number): boolean {
  return (
    row.phase.kind === 'ready' &&
    row.judgement === null &&
    row.readiness.verdict === 'ok' &&
    !isSilent(row, spec.pulse, nowMs, lagMs)
  )
}

/** One replica that could take work, as the plan sees it. */
export interface Candidate {
  readonly row: ReplicaRow
  readonly attempts: readonly AttemptRow[]
}

/**
 * Who asks the store for how many tasks. Free places first, the least loaded
 * replica first; then, where tasks are short, a prefetch that hides the round
 * trip. Suspect tasks get a replica of their own, which must run empty for them.
 */
export function planClaims(
  pool: PoolRow,
  spec: PoolSpec,
  candidates: readonly Candidate[],
  view: {
    readonly nowMs: number
    readonly lagMs: number
    readonly replicas: readonly ReplicaRow[]
    /** Dependencies that are down: tasks that need one are not asked for. */
    readonly blocked: readonly string[]
    /** Replicas that get nothing for now: they fail on what the pool depends on. */
    readonly doubtful: ReadonlySet<ReplicaName>
    /** The one that holds the pool and may be tried, or null. */
    readonly tried?: string | null
  },
): readonly Claim[] {
  const { nowMs, lagMs, tried = null } = view
  const isTrial = tried !== null && pool.trial?.isOpen === true
  if (pool.depth.queued === 0 || (pool.notReady !== null && !isTrial) || isClosed(pool)) return []
  const usable = candidates.filter(
    ({ row, attempts }) =>
      isDispatchable(row, spec, nowMs, lagMs) &&
      !view.doubtful.has(row.name) &&
      !attempts.some((attempt) => attempt.lostReplicas.length > 0),
  )
  const canaryOnly = pool.hold !== null
  const allowed = canaryOnly ? usable.filter(({ row }) => canary(row, view.replicas)).slice(0, 1) : usable
  const ordered = isTrial ? inTurn(allowed, pool) : allowed.toSorted((a, b) => a.attempts.length - b.attempts.length)
  const alone = canaryOnly ? 1 : emptied(pool)
  const hasSibling = usable.length > 1
  const room = isTrial ? 1 : roomLeft(pool, spec, candidates, nowMs)
  const blocked = isTrial ? view.blocked.filter((name) => name !== tried) : view.blocked
  const ahead = Number.isFinite(room) ? 0 : prefetch(pool)
  const wants = ordered.map(({ attempts }, at) => {
    if (at < alone) return attempts.length === 0 ? 1 : 0
    return Math.max(0, spec.concurrency + ahead - attempts.length)
  })
  const places = ordered.map(({ attempts }, at) =>
    Math.min(wants[at] ?? 0, Math.max(0, spec.concurrency - attempts.length)),
  )
  const counts = share(pool.depth.queued, room, places, wants)
  const claims: Claim[] = []
  ordered.forEach(({ row, attempts }, at) => {
    const count = counts[at] ?? 0
    if (count === 0) return
    claims.push({
      pool: pool.name,
      replica: row.name,
      incarnation: row.incarnation,
      count,
      idle: attempts.length === 0,
      hasSibling,
      blocked,
      leaseUntilMs: nowMs + spec.leaseMs,
    })
  })
  return claims
}

/** Nothing is started at all, not even for a test. */
function isClosed({ hold }: PoolRow): boolean {
  return hold?.cause === 'operator' || hold?.cause === 'budget'
}

function canary(row: ReplicaRow, replicas: readonly ReplicaRow[]): boolean {
  return isCanary({ replica: row, siblings: replicas.filter((other) => other.name !== row.name) })
}

/** After the replica that had the last trial: one that cannot reach what is tried must not have them all. */
function inTurn(candidates: readonly Candidate[], { trial }: PoolRow): readonly Candidate[] {
  const rank = (name: string): number => candidates.findIndex(({ row }) => row.name === name)
  const first = rank(trial?.replica ?? '') + 1
  return [...candidates.slice(first), ...candidates.slice(0, first)]
}

/** How many more attempts the pool may begin while it is let back in after a hold; Infinity otherwise. */
function roomLeft(pool: PoolRow, spec: PoolSpec, candidates: readonly Candidate[], nowMs: number): number {
  const ready = candidates.filter(({ row }) => row.phase.kind === 'ready').length
  const limit = thawLimit(pool, ready * spec.concurrency, nowMs)
  if (limit === null) return Number.POSITIVE_INFINITY
  return Math.max(0, limit - candidates.reduce((sum, { attempts }) => sum + attempts.length, 0))
}

function prefetch(pool: PoolRow): number {
  return Math.min(limits.prefetch, Math.floor(prefetchMs / Math.max(pool.taskMs, prefetchMs / limits.prefetch)))
}

/**
 * How many of the least loaded replicas take nothing until they are idle, and
 * then one task alone, because a suspect waits (R8): two, since it may avoid one.
 * What they have in hand only shrinks, so one of them runs empty however much is queued.
 */
function emptied(pool: PoolRow): number {
  return pool.depth.suspects === 0 ? 0 : 2
}

/**
 * Shares `queued` tasks: free places one by one, then the prefetch evenly. One
 * place more than tasks is asked: a task avoids at most one replica, and that
 * may be the first in line. Never more than there is room for.
 */
function share(queued: number, room: number, places: readonly number[], wants: readonly number[]): readonly number[] {
  const counts = places.map(() => 0)
  const asked = Math.min(queued + 1, room)
  let left = fill(counts, places, asked) - 1
  while (left > 0) {
    const open = counts.filter((count, at) => count < (wants[at] ?? 0)).length
    if (open === 0) return counts
    const each = Math.max(1, Math.floor(left / open))
    const step = counts.map((count) => count + each)
    left = fill(
      counts,
      step.map((count, at) => Math.min(count, wants[at] ?? 0)),
      left,
    )
  }
  return counts
}

/** Raises `counts` towards `upTo` until `left` is used up; returns what is left. */
function fill(counts: number[], upTo: readonly number[], left: number): number {
  let rest = left
  for (let at = 0; at < counts.length && rest > 0; at++) {
    const more = Math.min(rest, (upTo[at] ?? 0) - (counts[at] ?? 0))
    if (more <= 0) continue
    counts[at] = (counts[at] ?? 0) + more
    rest -= more
  }
  return rest
}

/** A claimed task becomes an attempt, and goes out. */
export function begin(
  lease: Lease,
  spec: PoolSpec,
  nowMs: number,
): { readonly attempt: AttemptRow; readonly effect: Effect } {
  const { taskId, pool, replica, incarnation, fence } = lease
  const left = allowanceOf(lease.spent, spec)
  return {
    attempt: {
      taskId,
      pool,
      replica,
      incarnation,
      fence,
      attempt: lease.attempt,
      countedAttempts: lease.countedAttempts,
      lostReplicas: lease.lostReplicas,
      deadlineMs: lease.deadlineMs,
      needs: lease.needs,
      dispatchedMs: nowMs,
      phase: { kind: 'sent' },
      progressMs: nowMs,
      calls: [],
      failedOn: null,
      inDoubt: [],
      use: { spent: lease.spent, calls: 0, isWritten: true, said: null },
    },
    effect: {
      ...{ kind: 'dispatch', replica, incarnation, lease, leaseMs: spec.leaseMs },
      ...(left === null ? {} : { left }),
    },
  }
}
