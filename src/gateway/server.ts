import { createHash } from 'node:crypto'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { limits } from '../model/limits.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { GatewaySpec } from '../model/provider.ts'
import type { Clock } from '../port/clock.ts'
import type { Inbox } from '../port/inbox.ts'
import type { Log } from '../port/log.ts'
import type { ModelBudget } from '../port/model-budget.ts'
import type { ModelDoor } from '../port/model-door.ts'
import { readWhole } from './body.ts'
import { withinBudget } from './budget.ts'
import { Call } from './call.ts'
import { Callers, type Client } from './callers.ts'
import { Deadlines } from './deadlines.ts'
import { GateKeeper } from './gate-keeper.ts'
import { attemptNamed } from './headers.ts'
import type { Lane } from './lane.ts'
import { withNotes } from './note.ts'
import { createPrices } from './price.ts'
import { Report } from './report.ts'
import { Upstream } from './upstream.ts'
import { errorBody } from './wire/errors.ts'
import { endpointOf, readRequest } from './wire/request.ts'
import type { Endpoint, WireFault } from './wire/types.ts'

export interface GatewayOptions {
  readonly spec: GatewaySpec
  readonly pools: readonly PoolSpec[]
  readonly clock: Clock
  readonly inbox: Inbox
  readonly log: Log
  readonly budget: ModelBudget
  readonly newToken: () => string
}

export interface Gateway extends ModelDoor {
  /** Without a slash at its end. */
  readonly url: string
  /** What the supervisor's breaker of a provider says: there is one breaker. */
  breaker(provider: string, state: 'closed' | 'open' | 'half_open'): void
  close(): Promise<void>
}

/** A path as replicas call it. */
const pathPattern = /^\/llm\/([A-Za-z0-9_-]{1,100})\/([A-Za-z0-9._-]{1,128})(\/[^#]*)$/

/**
 * Opens the model gateway.
 *
 * @throws the system's error when the port is taken.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const door = new Door(options)
  await door.listen()
  return door
}

class Door implements Gateway {
  readonly #options: GatewayOptions
  readonly #callers: Callers
  readonly #deadlines: Deadlines
  readonly #lanes = new Map<string, Lane>()
  readonly #server: http.Server

  constructor(options: GatewayOptions) {
    const { spec, pools, clock, newToken } = options
    this.#options = options
    this.#callers = new Callers(spec, pools, newToken)
    this.#deadlines = new Deadlines(clock)
    for (const provider of spec.providers) {
      const [upstream, gate] = [new Upstream(provider), new GateKeeper(provider.name, clock)]
      this.#lanes.set(provider.name, { provider, upstream, gate, prices: createPrices(provider) })
    }
    // A model thinks for minutes: the deadlines are those of the call, not of the connection.
    this.#server = http.createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, (request, response) => {
      void this.#answer(request, response)
    })
    this.#server.maxConnections = limits.gatewayConnections
  }

  get url(): string {
    return this.#callers.url
  }

  get admit(): ModelDoor['admit'] {
    return (caller, running) => this.#callers.admit(caller, running)
  }

  breaker(provider: string, state: 'closed' | 'open' | 'half_open'): void {
    this.#lanes.get(provider)?.gate.breaker(state)
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options.spec
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject)
    this.#server.listen(port, host, resolve)
    await promise
    const { port: opened } = this.#server.address() as AddressInfo
    this.#callers.url = `http://${host.includes(':') ? `[${host}]` : host}:${opened}`
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => resolve())
    this.#server.closeAllConnections()
    this.#deadlines.close()
    for (const { upstream, gate } of this.#lanes.values()) {
      gate.close()
      upstream.close()
    }
    await promise
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.on('error', () => undefined) // It left: `close` says so.
    response.on('error', () => undefined)
    const [, token = '', name = '', path = ''] = pathPattern.exec(request.url ?? '') ?? []
    const client = this.#callers.find(token)
    if (client === null) return sayNo(response, 401, 'auth', unknownToken)
    const lane = this.#lanes.get(name)
    if (lane === undefined) return sayNo(response, 404, 'not_found', unknownProvider(name, [...this.#lanes.keys()]))
    try {
      await this.#pass(request, response, client, lane, path)
    } catch (error) {
      this.#options.log.error({ error: String(error), provider: name }, 'a model call failed inside the gateway')
      if (response.headersSent) response.destroy()
      else sayNo(response, 500, 'unavailable', 'the gateway itself failed; its log says why')
    }
  }

  async #pass(
    request: IncomingMessage,
    response: ServerResponse,
    client: Client,
    lane: Lane,
    path: string,
  ): Promise<void> {
    const method = request.method ?? 'GET'
    const body = await readWhole(request, limits.modelRequestBytes)
    if (body.kind === 'cut') return
    if (body.kind === 'too_large')
      return sayNo(response, 413, 'bad_request', `a request has at most ${limits.modelRequestBytes} bytes`)
    const endpoint = endpointOf(lane.provider.api, method, path)
    const facts = body.bytes.length === 0 ? null : readRequest(endpoint, body.bytes)
    const named = attemptNamed(request.headers)
    const attempt = client.attemptOf(named)
    if (named !== null && attempt === null) return sayNo(response, 409, 'bad_request', staleAttempt(named.taskId))
    const report = new Report(this.#options, client, attempt)
    if (facts !== null) report.tools(client.unseen(attempt, facts.toolResults))
    const leave = client.begin(response)
    try {
      const refusal = await withinBudget(this.#options.budget, client, attempt, facts, lane.prices)
      if (refusal !== null) return sayNo(response, 403, 'quota_exhausted', refusal, 'budget_exceeded')
      const notes = attempt === null || facts === null ? [] : client.takeHints(attempt)
      const sent = notes.length === 0 ? body.bytes : withNotes(endpoint, body.bytes, notes)
      const rawHeaders = request.rawHeaders
      const asked = {
        client,
        attempt,
        lane,
        endpoint,
        method,
        path,
        rawHeaders,
        facts,
        body: sent.length === 0 ? null : sent,
      }
      const print = endpoint === 'other' ? null : client.failures.print(sent)
      const isRepeated = client.failures.has(print)
      const fault = await new Call(this.#parts, { ...asked, isRepeated }, response, report).run()
      client.failures.note(print, fault)
    } finally {
      leave()
    }
  }

  get #parts() {
    return { clock: this.#options.clock, deadlines: this.#deadlines }
  }
}
