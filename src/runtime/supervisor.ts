import type { ResolvedConfig } from '../model/config.ts'
import type { Inheritance } from '../model/inheritance.ts'
import { limits } from '../model/limits.ts'
import type { Redact } from '../model/redact.ts'
import type { Decision } from '../policy/outcome.ts'
import { takeOver } from '../policy/takeover.ts'
import type { Clock } from '../port/clock.ts'
import type { Log } from '../port/log.ts'
import type { Meter } from '../port/meter.ts'
import type { ModelBudget } from '../port/model-budget.ts'
import type { NodeDoor } from '../port/node.ts'
import type { Notifier } from '../port/notifier.ts'
import type { Prober } from '../port/prober.ts'
import type { ProcessHost } from '../port/process-host.ts'
import type { Random } from '../port/random.ts'
import type { Saboteur } from '../port/saboteur.ts'
import type { Store } from '../port/store.ts'
import { Chaos } from './chaos.ts'
import { createDoor } from './door.ts'
import { EventLog } from './events.ts'
import type { TickInbox } from './inbox.ts'
import { createModelBudget } from './model-budget.ts'
import { Courier } from './notifying.ts'
import { PauseWatch } from './pause.ts'
import { createProbing } from './probing.ts'
import { Publisher } from './publish.ts'
import { Tables } from './tables.ts'
import { Teller } from './telling.ts'
import { Tick, type TickParts } from './tick.ts'

/** How often old rows are deleted, and how the loop looks at its own punctuality, ms. */
const pruneEveryMs = 60_000
const sampleMs = 250

export interface SupervisorParts {
  readonly config: ResolvedConfig
  readonly inbox: TickInbox
  readonly clock: Clock
  readonly random: Random
  readonly store: Store
  readonly host: ProcessHost
  readonly prober: Prober
  /** One for each entry of `config.notify`. */
  readonly notifiers: readonly Notifier[]
  /** What leaves in a notification goes through it. */
  readonly redact: Redact
  readonly meter: Meter
  readonly log: Log
  /** Of whoever sends calls to what replicas share. */
  readonly tellBreaker?: TickParts['tellBreaker']
  /** Only of a node that may be hurt on purpose. */
  readonly saboteur?: Saboteur | null
  /** Which facts belong to the process we mean; the simulator plants a bug here. Default: same incarnation. */
  readonly isCurrent?: TickParts['isCurrent']
}

export interface Supervisor {
  readonly door: NodeDoor
  /** For the gateway. */
  readonly budget: ModelBudget
  /** Ends what the predecessor left, and fills the pools. Call once, before `tick` or `run`. */
  start(inheritance: Inheritance): Promise<void>
  /** One turn; returns when the next is due without news, clock ms. */
  tick(): Promise<number>
  /** Sends what is in the outbox, until aborted. Part of `run`. */
  notify(signal: AbortSignal): Promise<void>
  /** Turns until aborted, with the loops that feed it. */
  run(signal: AbortSignal): Promise<void>
  /** Stops claiming, lets running tasks finish until `deadlineMs` (clock), hands the rest back. */
  shutDown(deadlineMs: number): void
  /** No process is left and nothing waits to be written. */
  readonly drained: boolean
}

export function createSupervisor(parts: SupervisorParts): Supervisor {
  const { config, inbox, clock, store, host, log } = parts
  const startedMs = clock.nowMs()
  const tables = new Tables(config.pools)
  const events = new EventLog(parts.random.id('e'))
  const pause = new PauseWatch(startedMs)
  const probing = createProbing(config.dependencies, parts)
  const publisher = new Publisher(events, parts.meter, log)
  const isCurrent = parts.isCurrent ?? ((observation, incarnation) => observation.incarnation === incarnation)
  const owners = new Map(config.pools.flatMap(({ name, owner }) => (owner === null ? [] : [[name, owner] as const])))
  const teller = new Teller(config.notify, { owners, redact: parts.redact }, () => {
    for (const courier of couriers) courier.ring()
  })
  const couriers = parts.notifiers.map((notifier) => new Courier(notifier, { ...parts, teller }))
  const tick: Tick = new Tick({
    tables,
    inbox,
    clock,
    store,
    pause,
    publisher,
    teller,
    isCurrent,
    tellBreaker: parts.tellBreaker ?? (() => undefined),
    execute(effect) {
      if (effect.kind === 'answer') door.answer(effect.request, effect.answer)
      else if (effect.kind === 'probe') probing.ask(effect.dependency)
      else host.apply(effect)
    },
  })
  const notify = async (signal: AbortSignal): Promise<void> => {
    await Promise.all(couriers.map((courier) => courier.run(signal)))
  }
  const unreached = () => couriers.flatMap((courier) => courier.complaint ?? [])
  const chaos = new Chaos({ ...parts, tables, probing, saboteur: parts.saboteur ?? null })
  const door = createDoor({ ...parts, chaos, tables, events, tick, pause, startedMs, unreached })
  return {
    door,
    budget: createModelBudget({ tables, inbox, clock }),
    async start(inheritance) {
      const orphans = await host.killOrphans(inheritance.replicas)
      if (orphans.killed > 0)
        log.warn({ killed: orphans.killed, remaining: orphans.remaining }, 'killed what a dead supervisor left behind')
      const taken = takeOver(config.pools, inheritance, clock.nowMs())
      tables.takeOver(taken, await store.depths())
      teller.restore(inheritance.told)
      tick.dependencies.begin(config.dependencies, inheritance.dependencies, clock.nowMs())
      tick.adopt([...taken.decisions, onlyThese(parts.notifiers)])
      pause.expect(clock.nowMs())
    },
    tick: () => tick.run(),
    notify,
    async run(signal) {
      await run(parts, tick, pause, notify, signal)
      probing.stop()
    },
    shutDown(deadlineMs) {
      inbox.push({ kind: 'shutdown', atMs: clock.nowMs(), deadlineMs })
    },
    get drained() {
      const idle = [...tables.replicas.values()].every(
        (row) => row.phase.kind === 'waiting' || row.phase.kind === 'quarantined',
      )
      return tables.shuttingDown && idle && tick.settled
    },
  }
}

/** What waits for a notifier that the configuration no longer names goes: nobody would ever send it. */
function onlyThese(notifiers: readonly Notifier[]): Decision {
  const write = { do: 'keep_only', notifiers: notifiers.map(({ name }) => name) } as const
  return { changes: [{ kind: 'outbox', write }], effects: [], refused: [], notices: [] }
}

async function run(
  parts: SupervisorParts,
  tick: Tick,
  pause: PauseWatch,
  notify: Supervisor['notify'],
  signal: AbortSignal,
): Promise<void> {
  const { clock, inbox } = parts
  const feeders = [samplePauses(parts, pause, signal), prune(parts, signal), notify(signal)]
  let wake: AbortController | null = null
  inbox.onArrival(() => wake?.abort())
  while (!signal.aborted) {
    const wakeAtMs = await tick.run()
    if (inbox.length > 0) continue
    wake = new AbortController()
    const stop = AbortSignal.any([wake.signal, signal])
    pause.expect(clock.nowMs() + sampleMs)
    await clock.sleepUntil(wakeAtMs, stop)
    wake = null
  }
  await Promise.all(feeders)
}

/** Looks at the clock often, so that a pause during a long write is noticed too (R11). */
async function samplePauses(parts: SupervisorParts, pause: PauseWatch, signal: AbortSignal): Promise<void> {
  const { clock, inbox } = parts
  while (!signal.aborted) {
    await clock.sleepUntil(clock.nowMs() + sampleMs, signal)
    const nowMs = clock.nowMs()
    const missedMs = pause.ran(nowMs)
    pause.expect(nowMs + sampleMs)
    if (missedMs > 0) inbox.push({ kind: 'paused', missedMs, atMs: nowMs })
  }
}

async function prune(parts: SupervisorParts, signal: AbortSignal): Promise<void> {
  const { clock, store, log } = parts
  const keep = { finishedTasks: limits.finishedTasksKept, closedIncidents: limits.closedIncidentsKept }
  while (!signal.aborted) {
    await clock.sleepUntil(clock.nowMs() + pruneEveryMs, signal)
    if (signal.aborted) return
    try {
      while ((await store.prune(keep)) > 0 && !signal.aborted);
    } catch (error) {
      log.warn({ error: String(error) }, 'old rows could not be deleted; tried again in a minute')
    }
  }
}
