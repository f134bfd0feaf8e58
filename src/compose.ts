import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type HttpServer, startHttp } from './http/index.ts'
import { createClock } from './io/clock.ts'
import { createNotifier } from './io/notify/notifier.ts'
import { createProber } from './io/probe/prober.ts'
import { hardenSelf } from './io/process/harden.ts'
import { createProcessHost } from './io/process/host.ts'
import { createRandom } from './io/random.ts'
import { openSqliteStore } from './io/store/sqlite/index.ts'
import { createLog } from './io/telemetry/log.ts'
import { createMeter } from './io/telemetry/meter.ts'
import type { ResolvedConfig } from './model/config.ts'
import { createRedact } from './model/redact.ts'
import type { Clock } from './port/clock.ts'
import type { Log } from './port/log.ts'
import type { NodeDoor } from './port/node.ts'
import { createInbox } from './runtime/inbox.ts'
import { metrics } from './runtime/metrics.ts'
import { createSupervisor, type Supervisor } from './runtime/supervisor.ts'

export { loadToken } from './io/token.ts'

export interface NodeOptions {
  /** The API's token; without one no port is opened. */
  readonly token: string | null
  /** Where log lines go. Default: standard error. */
  readonly log?: Log
  /** Faults may be injected into what it runs. */
  readonly chaos?: boolean
}

/** A running node: supervisor, processes, store, and its doors. */
export interface Node {
  readonly door: NodeDoor
  /** Null when no port was opened. */
  readonly url: string | null
  /** Stops claiming, lets running tasks finish within `shutdown`, hands the rest back, and closes everything. */
  stop(): Promise<void>
  /** Ends a stop that is under way at once: what runs is handed back. */
  hurry(): void
  /** Rejects when the supervisor itself failed. */
  readonly finished: Promise<void>
}

/** How often a stopping node looks whether it is drained, ms. */
const drainCheckMs = 20

/**
 * Builds a node out of its parts and starts it. The one place that knows them all.
 *
 * @throws PrunellaError STORE_LOCKED, STORE_DAMAGED; the system's error when the port is taken.
 */
export async function startNode(config: ResolvedConfig, options: NodeOptions): Promise<Node> {
  hardenSelf()
  await mkdir(config.stateFolder, { recursive: true, mode: 0o711 })
  const clock = createClock()
  const secrets = options.token === null ? config.secrets : [...config.secrets, options.token]
  const log = options.log ?? createLog({ secrets })
  for (const warning of config.warnings) log.warn({}, warning)
  const store = await openSqliteStore({ path: config.store.path })
  const inheritance = await store.takeOver(clock.nowMs())
  const inbox = createInbox()
  const host = createProcessHost({
    inbox,
    clock,
    log,
    pools: config.pools,
    root: config.root,
    workFolder: join(config.stateFolder, 'work'),
    storeId: inheritance.storeId,
    secrets,
    chaos: options.chaos ?? false,
  })
  const random = createRandom(clock)
  const meter = createMeter(metrics)
  const redact = createRedact(secrets)
  const supervisor = createSupervisor({
    config,
    inbox,
    clock,
    random,
    store,
    host,
    saboteur: options.chaos === true ? host : null,
    prober: createProber(redact, host),
    notifiers: config.notify.map((spec) => createNotifier(spec, { log, redact })),
    redact,
    meter,
    log,
  })
  const http = await openDoor(config, options, supervisor.door, { clock, log }).catch(async (error: unknown) => {
    await host.close()
    await store.close()
    throw error
  })
  await supervisor.start(inheritance)
  const over = new AbortController()
  const finished = supervisor.run(over.signal)
  const hurry = (): void => supervisor.shutDown(clock.nowMs())
  let stopping: Promise<void> | null = null
  async function stop(): Promise<void> {
    supervisor.shutDown(clock.nowMs() + config.shutdownMs)
    await drained(supervisor, clock, finished)
    over.abort()
    await finished
    await http?.close()
    await host.close()
    await store.close()
  }
  return {
    door: supervisor.door,
    url: http?.url ?? null,
    stop: () => {
      stopping ??= stop()
      return stopping
    },
    hurry,
    finished,
  }
}

async function openDoor(
  config: ResolvedConfig,
  { token }: NodeOptions,
  door: NodeDoor,
  parts: { readonly clock: Clock; readonly log: Log },
): Promise<HttpServer | null> {
  if (token === null) return null
  const { host, port, names = [] } = config.http
  return startHttp({ door, ...parts, host, port, names, tokens: [{ name: 'operator', value: token, role: 'admin' }] })
}

async function drained(supervisor: Supervisor, clock: Clock, finished: Promise<void>): Promise<void> {
  const failed = new AbortController()
  finished.catch(() => failed.abort())
  while (!supervisor.drained && !failed.signal.aborted)
    await clock.sleepUntil(clock.nowMs() + drainCheckMs, failed.signal)
}
