import type { OperatorAnswer } from '../model/effect.ts'
import { PrunellaError } from '../model/errors.ts'
import { isValidName, parseReplicaName } from '../model/ids.ts'
import type { Incident } from '../model/incident.ts'
import { limits } from '../model/limits.ts'
import type { OperatorCommand } from '../model/observation.ts'
import type { Explanation } from '../model/snapshot.ts'
import { isFinal, type NewTask, type TaskView } from '../model/task.ts'
import { explainIncident, explainReplica, explainTask } from '../policy/explain.ts'
import type { Clock } from '../port/clock.ts'
import type { Inbox } from '../port/inbox.ts'
import type { Meter } from '../port/meter.ts'
import type { NodeDoor, Submission } from '../port/node.ts'
import type { ProcessHost } from '../port/process-host.ts'
import type { Random } from '../port/random.ts'
import type { ResolveOutcome, RetryOutcome, Store } from '../port/store.ts'
import type { Chaos } from './chaos.ts'
import { dependencyViews } from './dependencies.ts'
import type { EventLog } from './events.ts'
import { gauges } from './gauges.ts'
import type { PauseWatch } from './pause.ts'
import type { Tables } from './tables.ts'
import type { Tick } from './tick.ts'
import { health, type NodeState, poolViews, replicaViews } from './views.ts'

/** Longest a door waits for the tick to answer an operator. */
const operatorWaitMs = 30_000

export interface DoorParts {
  readonly tables: Tables
  readonly inbox: Inbox
  readonly clock: Clock
  readonly random: Random
  readonly store: Store
  readonly host: ProcessHost
  readonly meter: Meter
  readonly events: EventLog
  readonly tick: Tick
  readonly pause: PauseWatch
  readonly chaos: Chaos
  readonly startedMs: number
  /** Notifiers that are not reached, in words. */
  readonly unreached: () => readonly string[]
}

export interface Door extends NodeDoor {
  /** The tick's word on an operator's request. */
  answer(request: number, answer: OperatorAnswer): void
}

export function createDoor(parts: DoorParts): Door {
  const { tables, clock, store, events, host, pause, tick } = parts
  const operators = new Operators(parts)
  return {
    submit: (pool, tasks) => submit(parts, pool, tasks),
    task: (id) => store.task(id),
    waitForTask: (id, timeoutMs, signal) => waitForTask(parts, id, timeoutMs, signal),
    tasks: (query) => store.tasks(query),
    retry: (id, input, who, reason) =>
      reopen(parts, { who, what: 'retry', target: id, reason }, (nowMs) => store.retry(id, input, nowMs)),
    resolve: (id, answer, who, reason) =>
      reopen(parts, { who, what: 'resolve', target: id, reason }, (nowMs) => store.resolve(id, answer, nowMs)),
    operate: (command, who, reason) => operators.ask(command, who, reason),
    answer: (request, answer) => operators.answer(request, answer),
    inject: (request, who) => parts.chaos.inject(request, who),
    injections: () => parts.chaos.list(),
    node: () => ({
      startedMs: parts.startedMs,
      lastSweepMs: tick.lastSweepMs,
      lagMs: pause.lagMs(clock.nowMs()),
      shuttingDown: tables.shuttingDown,
      blindSpots: [...host.blindSpots, ...parts.unreached()],
    }),
    pools: () => poolViews(tables, clock.nowMs(), pause.lagMs(clock.nowMs())),
    replicas: () => replicaViews(tables, clock.nowMs()),
    dependencies: () => dependencyViews(tables),
    health: (kind, scope) => health(kind, scope, stateOf(parts)),
    logs: (replica) => host.logs(replica),
    incident: (id) => store.incident(id),
    incidents: (query) => store.incidents(query),
    audit: (limit) => store.audit(limit),
    why: (subject) => why(parts, subject),
    subscribe: (lastEventId, listener) => events.subscribe(lastEventId, listener),
    metrics() {
      gauges(parts)
      return parts.meter.render()
    },
  }
}

function stateOf({ tables, clock, pause, tick }: DoorParts): NodeState {
  const nowMs = clock.nowMs()
  return {
    tables,
    nowMs,
    lagMs: pause.lagMs(nowMs),
    sweepAgeMs: nowMs - tick.lastSweepMs,
    storeFailing: tick.storeFailingSinceMs !== null,
  }
}

/** Requests of people on their way through the inbox, and the answers that come back. */
class Operators {
  private readonly parts: DoorParts
  private readonly asked = new Map<number, (answer: OperatorAnswer) => void>()
  private count = 0

  constructor(parts: DoorParts) {
    this.parts = parts
  }

  async ask(command: OperatorCommand, who: string, reason: string): Promise<OperatorAnswer> {
    const { clock, inbox } = this.parts
    const id = ++this.count
    const answered = new Promise<OperatorAnswer>((resolve) => this.asked.set(id, resolve))
    const request = { id, command, who: who.slice(0, limits.noteLength), reason: reason.slice(0, limits.noteLength) }
    inbox.push({ kind: 'operator', request, atMs: clock.nowMs() })
    const late = new AbortController()
    const tooLate = clock.sleepUntil(clock.nowMs() + operatorWaitMs, late.signal).then(() => notInTime)
    const answer = await Promise.race([answered, tooLate])
    late.abort()
    this.asked.delete(id)
    return answer
  }

  answer(request: number, answer: OperatorAnswer): void {
    this.asked.get(request)?.(answer)
  }
}

const notInTime: OperatorAnswer = {
  kind: 'conflict',
  text: 'the supervisor did not answer in time; the request stands and may still be carried out',
}

async function submit(parts: DoorParts, pool: string, tasks: readonly Submission[]): ReturnType<NodeDoor['submit']> {
  const { tables, clock, random, store, inbox, tick } = parts
  if (!tables.specs.has(pool))
    throw new PrunellaError(
      'PRUNELLA_NOT_FOUND',
      `There is no pool ${JSON.stringify(pool)}. Pools: ${[...tables.specs.keys()].join(', ')}.`,
    )
  if (tables.shuttingDown)
    throw new PrunellaError(
      'PRUNELLA_SHUTTING_DOWN',
      'This node is shutting down and takes no tasks. Send it to another, or again in a moment.',
    )
  if (tick.storeFailingSinceMs !== null)
    throw new PrunellaError(
      'PRUNELLA_STORE_FAILED',
      'The store cannot be written now, so no task is taken. Send it again when the disk is in order.',
    )
  if (tasks.length > limits.tasksPerSubmit)
    throw new PrunellaError(
      'PRUNELLA_INVALID',
      `At most ${limits.tasksPerSubmit} tasks in one call, got ${tasks.length}.`,
    )
  const nowMs = clock.nowMs()
  const news = tasks.map((task): NewTask => {
    if (task.idempotencyKey !== undefined && !isValidName(task.idempotencyKey))
      throw new PrunellaError('PRUNELLA_INVALID', 'idempotencyKey: 1 to 128 of A-Z a-z 0-9 . _ -')
    return {
      id: random.id('t'),
      pool,
      input: task.input,
      priority: task.priority ?? 0,
      notBeforeMs: task.delayMs === undefined || task.delayMs <= 0 ? null : nowMs + task.delayMs,
      deadlineMs: task.deadlineMs ?? null,
      idempotencyKey: task.idempotencyKey ?? null,
      needs: task.needs ?? [],
      submittedMs: nowMs,
    }
  })
  const submitted = store.submit(news, limits.queuedPerPool)
  // Tasks without a key are surely new, and the tick is told while they are being written: its claim follows them
  // into the same transaction, and an idle replica starts one sync earlier.
  const early = news.every((task) => task.idempotencyKey === null)
  if (early) inbox.push({ kind: 'work_arrived', pool, count: news.length, atMs: nowMs })
  const outcomes = await submitted
  const created = outcomes.reduce((count, outcome) => count + (outcome.kind === 'created' ? 1 : 0), 0)
  if (!early && created > 0) inbox.push({ kind: 'work_arrived', pool, count: created, atMs: nowMs })
  for (const outcome of outcomes)
    if (outcome.kind === 'created')
      parts.events.publish({ kind: 'task', taskId: outcome.id, pool, status: outcome.status, atMs: nowMs })
  return outcomes
}

/** Listens first, looks then: an end between the two is not missed. */
async function waitForTask(
  parts: DoorParts,
  id: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<TaskView | null> {
  const { store, events, clock } = parts
  const over = new AbortController()
  const stopWaiting = (): void => over.abort()
  signal.addEventListener('abort', stopWaiting, { once: true })
  const { stop } = events.subscribe(null, ({ notice }) => {
    if (notice.kind === 'task' && notice.taskId === id && (isFinal(notice.status) || notice.status === 'held'))
      over.abort()
  })
  try {
    const first = await store.task(id)
    if (first === null || isFinal(first.status) || first.status === 'held') return first
    await clock.sleepUntil(clock.nowMs() + timeoutMs, over.signal)
    return await store.task(id)
  } finally {
    stop()
    signal.removeEventListener('abort', stopWaiting)
  }
}

/**
 * What a person does to a task that nobody holds. Who and why are written first:
 * a request without its deed misleads nobody, a deed without its record would
 * (R9). And nothing can fail between the store's answer and the tick's inbox:
 * the task would be claimable, and nobody would claim it.
 */
async function reopen<Outcome extends ResolveOutcome | RetryOutcome>(
  { store, clock, inbox, events }: DoorParts,
  asked: { readonly who: string; readonly what: string; readonly target: string; readonly reason: string },
  deed: (nowMs: number) => Promise<Outcome>,
): Promise<Outcome> {
  const task = await store.task(asked.target)
  const atMs = clock.nowMs()
  await store.commit({ nowMs: atMs, decisions: [[{ kind: 'audit', atMs, ...asked }]], claims: [] })
  const outcome = await deed(atMs)
  if (task !== null && (outcome === 'queued' || outcome === 'failed')) {
    if (outcome === 'queued') inbox.push({ kind: 'work_arrived', pool: task.pool, count: 1, atMs })
    events.publish({ kind: 'task', taskId: task.id, pool: task.pool, status: outcome, atMs })
  }
  return outcome
}

async function why(parts: DoorParts, subject: string): ReturnType<NodeDoor['why']> {
  const { tables, store, clock, chaos } = parts
  const nowMs = clock.nowMs()
  const explain = (incident: Incident): Explanation => {
    const explained = explainIncident(incident, nowMs)
    const cause = chaos.behind(incident)
    if (cause === null) return explained
    return { ...explained, text: `${explained.text} It is no real failure: ${cause.who} injected ${cause.fault}.` }
  }
  if (parseReplicaName(subject) !== null) {
    const row = tables.replicas.get(subject as `${string}/${number}`)
    if (row === undefined) return null
    const open = row.incidentId === null ? null : await store.incident(row.incidentId)
    const last = open ?? (await store.incidents({ replica: row.name, limit: 1 })).rows[0] ?? null
    return last === null ? explainReplica(row) : explain(last)
  }
  if (subject === 'last') {
    const last = (await store.incidents({ limit: 1 })).rows[0]
    return last === undefined ? { subject: 'last', culprit: null, text: 'There was no incident.' } : explain(last)
  }
  const incident = await store.incident(subject)
  if (incident !== null) return explain(incident)
  const task = await store.task(subject)
  return task === null ? null : explainTask(task)
}
