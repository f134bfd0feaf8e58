import type { QueueDepth } from '../model/change.ts'
import type { Injection } from '../model/chaos.ts'
import type { Notice } from '../model/event.ts'
import type { Incident } from '../model/incident.ts'
import type { DependencyView, NodeView, PoolView, ReplicaView } from '../model/snapshot.ts'
import type { TaskView } from '../model/task.ts'
import type { LogLine } from '../port/process-host.ts'
import type { AuditRow } from '../port/store.ts'

/* Views as the API shows them: times in ISO 8601, ages in whole milliseconds, absent instead of null where it is optional. */

export function iso(ms: number): string
export function iso(ms: number | null): string | null
export function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}

function whole(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms)
}

export function renderTask(task: TaskView): object {
  const { lease } = task
  const running =
    lease === null
      ? []
      : [
          {
            replica: lease.replica,
            incarnation: lease.incarnation,
            startedAt: iso(lease.sinceMs),
            endedAt: null,
            outcome: null,
          },
        ]
  return {
    id: task.id,
    pool: task.pool,
    status: task.status,
    priority: task.priority,
    input: task.input,
    idempotencyKey: task.idempotencyKey,
    needs: task.needs,
    submittedAt: iso(task.submittedMs),
    notBefore: iso(task.notBeforeMs),
    deadline: iso(task.deadlineMs),
    finishedAt: iso(task.finishedMs),
    attempts: [
      ...task.attempts.map(({ startedMs, endedMs, ...attempt }) => ({
        ...attempt,
        startedAt: iso(startedMs),
        endedAt: iso(endedMs),
      })),
      ...running,
    ],
    countedAttempts: task.countedAttempts,
    spent: { ...task.spent, timeMs: Math.round(task.spent.timeMs) },
    ...(task.status === 'done' ? { output: task.output } : {}),
    ...(task.error === null ? {} : { error: task.error }),
    ...(task.reason === null ? {} : { reason: task.reason }),
    steps: task.steps.map((step) =>
      step.state === 'started'
        ? { name: step.name, key: step.key, state: step.state, repeat: step.repeat, startedAt: iso(step.startedMs) }
        : {
            name: step.name,
            key: step.key,
            state: step.state,
            repeat: step.repeat,
            result: step.result,
            startedAt: iso(step.startedMs),
            endedAt: iso(step.endedMs),
          },
    ),
  }
}

export function renderIncident(incident: Incident): object {
  const { id, pool, replica, taskId, status, fault, firstSignMs, detectedMs, recoveredMs, closedMs } = incident
  return {
    id,
    pool,
    replica,
    task: taskId,
    status,
    fault,
    firstSignAt: iso(firstSignMs),
    detectedAt: iso(detectedMs),
    recoveredAt: iso(recoveredMs),
    closedAt: iso(closedMs),
    detectionMs: whole(detectedMs - firstSignMs),
    recoveryMs: recoveredMs === null ? null : whole(recoveredMs - detectedMs),
    actions: incident.actions.map(({ atMs, endedMs, taskId: task, ...action }) => ({
      ...action,
      task,
      at: iso(atMs),
      endedAt: iso(endedMs),
    })),
    timeline: incident.timeline.map(({ atMs, kind, text }) => ({ at: iso(atMs), kind, text })),
  }
}

export function renderReplica(replica: ReplicaView): object {
  return {
    ...replica,
    pulseAgeMs: whole(replica.pulseAgeMs),
    progressAgeMs: whole(replica.progressAgeMs),
    tasks: replica.tasks.map((task) => ({ ...task, runningMs: whole(task.runningMs) })),
    incident: replica.incidentId,
    incidentId: undefined,
    checks: Object.fromEntries(
      Object.entries(replica.checks).map(([name, check]) => [name, check.ok ? 'ok' : `failed: ${check.reason}`]),
    ),
  }
}

export function renderPool(pool: PoolView): object {
  const { sinceMs = null, ...hold } = pool.hold ?? {}
  return {
    ...pool,
    depth: renderDepth(pool.depth),
    hold: pool.hold === null ? null : { ...hold, since: iso(sinceMs) },
  }
}

function renderDepth({ nextDueMs, ...depth }: QueueDepth): object {
  return { ...depth, nextDueAt: iso(nextDueMs) }
}

export function renderDependency({ checkedMs, latencyMs, ...dependency }: DependencyView): object {
  return { ...dependency, checkedAt: iso(checkedMs), latencyMs: whole(latencyMs) }
}

export function renderNode({ startedMs, lastSweepMs, lagMs, ...node }: NodeView): object {
  return { ...node, startedAt: iso(startedMs), lastSweepAt: iso(lastSweepMs), lagMs: whole(lagMs) }
}

export function renderLog({ atMs, ...line }: LogLine): object {
  return { at: iso(atMs), ...line }
}

export function renderAudit({ atMs, ...row }: AuditRow): object {
  return { at: iso(atMs), ...row }
}

export function renderInjection({ atMs, strikes, ...injection }: Injection): object {
  const struck = strikes.map(({ atMs: struckMs, taskId, ...strike }) => ({
    at: iso(struckMs),
    ...strike,
    task: taskId,
  }))
  return { at: iso(atMs), ...injection, strikes: struck }
}

export function renderNotice(notice: Notice): object {
  const { atMs, kind: _, ...facts } = notice
  if (notice.kind === 'incident') return { at: iso(atMs), ...facts, incident: renderIncident(notice.incident) }
  if (notice.kind === 'attempt_ended') {
    const { startedMs, atMs: endedMs, kind: __, ...attempt } = notice
    return { at: iso(endedMs), startedAt: iso(startedMs), ...attempt }
  }
  return { at: iso(atMs), ...facts }
}
