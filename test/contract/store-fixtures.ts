import type { Batch, Change, Claim, Committed, NextState } from '../../src/model/change.ts'
import type { Incident } from '../../src/model/incident.ts'
import type { Lease, NewTask } from '../../src/model/task.ts'
import type { Store } from '../../src/port/store.ts'

export interface StoreHarness {
  readonly store: Store
  /** Ends the store and opens what it left; null where nothing outlives it. */
  readonly reopen: (() => Promise<Store>) | null
  /** Histories that the model test tries. */
  readonly histories: number
  close(): Promise<void>
}

/** The wall clock of these tests: any number does. */
export const startMs = 1_764_000_000_000

export function newTask(id: string, more: Partial<NewTask> = {}): NewTask {
  const times = { notBeforeMs: null, deadlineMs: null, submittedMs: startMs }
  return { id, pool: 'p', input: { of: id }, priority: 0, idempotencyKey: null, needs: [], ...times, ...more }
}

export function newClaim(more: Partial<Claim> = {}): Claim {
  const lease = { count: 1, idle: true, hasSibling: true, blocked: [], leaseUntilMs: startMs + 60_000 }
  return { pool: 'p', replica: 'p/0', incarnation: 1, ...lease, ...more }
}

export function newBatch(more: Partial<Batch> = {}): Batch {
  return { nowMs: startMs, decisions: [], claims: [], ...more }
}

export const queuedNext: Extract<NextState, { readonly status: 'queued' }> = {
  status: 'queued',
  notBeforeMs: null,
  avoid: null,
}
export const doneNext: NextState = { status: 'done', output: { ok: true } }

type End = Extract<Change, { readonly kind: 'end_attempt' }>
export function end(lease: { readonly taskId: string; readonly fence: number }, more: Partial<End> = {}): End {
  const { taskId, fence } = lease
  const ended = { atMs: startMs + 5, outcome: 'done', counted: true, lostReplica: null, error: null } as const
  return { kind: 'end_attempt', taskId, fence, ...ended, previous: null, next: doneNext, ...more }
}

type Started = Extract<Change, { readonly kind: 'step_started' }>
export function started(lease: Pick<Lease, 'taskId' | 'fence'>, name: string, more: Partial<Started> = {}): Started {
  const { taskId, fence } = lease
  return { kind: 'step_started', taskId, fence, name, key: '1', repeat: 'safe_to_retry', atMs: startMs + 1, ...more }
}

type Done = Extract<Change, { readonly kind: 'step_done' }>
export function stepDone(lease: Pick<Lease, 'taskId' | 'fence'>, name: string, more: Partial<Done> = {}): Done {
  const { taskId, fence } = lease
  const times = { startedMs: startMs + 1, atMs: startMs + 2 }
  return { kind: 'step_done', taskId, fence, name, key: '1', repeat: 'safe_to_retry', result: 42, ...times, ...more }
}

export function newIncident(id: string, more: Partial<Incident> = {}): Incident {
  const times = { firstSignMs: startMs, detectedMs: startMs + 1, recoveredMs: null, closedMs: null }
  return {
    id,
    pool: 'p',
    replica: 'p/0',
    taskId: null,
    dependency: null,
    verdict: null,
    status: 'open',
    fault: { kind: 'crashed', culprit: 'agent', evidence: ['exit code 1'] },
    ...times,
    actions: [],
    timeline: [],
    ...more,
  }
}

export async function leaseOne(store: Store, more: Partial<Claim> = {}, nowMs = startMs): Promise<Lease> {
  const { leases } = await store.commit(newBatch({ nowMs, claims: [newClaim(more)] }))
  const lease = leases[0]?.[0]
  if (lease === undefined) throw new Error('Nothing to claim')
  return lease
}

/** Commits decisions and gives their outcomes. */
export async function decide(store: Store, ...decisions: readonly Change[][]): Promise<Committed['outcomes']> {
  return (await store.commit(newBatch({ decisions }))).outcomes
}

export async function claimedIds(store: Store, more: Partial<Claim> = {}, nowMs = startMs): Promise<string[]> {
  const { leases } = await store.commit(newBatch({ nowMs, claims: [newClaim({ count: 10, ...more })] }))
  return (leases[0] ?? []).map(({ taskId }) => taskId)
}
