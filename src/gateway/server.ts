import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { limits } from '../model/limits.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { GatewaySpec } from '../model/provider.ts'
import type { BreakerWord } from '../policy/gate/gate.ts'
import type { Clock } from '../port/clock.ts'
import type { Inbox } from '../port/inbox.ts'
import type { Log } from '../port/log.ts'
import type { ModelBudget } from '../port/model-budget.ts'
import type { ModelDoor } from '../port/model-door.ts'
import { readWhole } from './body.ts'
import { withinBudget } from './budget.ts'
import { type Asked, Call } from './call.ts'
import { Callers, type Client } from './callers.ts'
import { Deadlines } from './deadlines.ts'
import { GateKeeper } from './gate-keeper.ts'
import { attemptNamed } from './headers.ts'
import type { Lane } from './lane.ts'
import { withNotes } from './note.ts'
import { loadPrices } from './price.ts'
import { refuse } from './refuse.ts'
import { Report } from './report.ts'
import { Upstream } from './upstream.ts'
import { endpointOf, readRequest } from './wire/request.ts'

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
  breaker(provider: string, word: BreakerWord): void
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
  const { clock, spec } = options
  const pricesOf = await loadPrices()
  const lanes = spec.providers.map((provider): Lane => {
    const [upstream, gate] = [new Upstream(provider), new GateKeeper(provider.name, clock)]
    return { provider, upstream, gate, prices: pricesOf(provider) }
  })
  const door = new Door(options, lanes)
  await door.listen()
  return door
}

class Door implements Gateway {
  readonly #options: GatewayOptions
  readonly #callers: Callers
  readonly #deadlines: Deadlines
  readonly #lanes: ReadonlyMap<string, Lane>
  readonly #server: http.Server

  constructor(options: GatewayOptions, lanes: readonly Lane[]) {
    this.#options = options
    this.#callers = new Callers(options)
    this.#deadlines = new Deadlines(options.clock)
    this.#lanes = new Map(lanes.map((lane) => [lane.provider.name, lane]))
    // A model thinks for minutes: the deadlines are those of the call, not of the connection.
    this.#server = http.createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, (request, response) => {
      void this.#answer(request, response)
    })
    this.#server.maxConnections = limits.gatewayConnections
  }

  get url(): string {
    return this.#callers.url
  }

  admit(...asked: Parameters<ModelDoor['admit']>): ReturnType<ModelDoor['admit']> {
    return this.#callers.admit(...asked)
  }

  breaker(provider: string, word: BreakerWord): void {
    this.#lanes.get(provider)?.gate.breaker(word)
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
    if (client === null)
      return refuse(response, { failure: 'auth', status: 401, message: 'no replica that runs has this address' })
    const lane = this.#lanes.get(name)
    if (lane === undefined) {
      const known = [...this.#lanes.keys()].join(', ')
      return refuse(response, {
        ...{ failure: 'not_found', status: 404 },
        message: `there is no provider "${name}" in gateway.providers; there are: ${known}`,
      })
    }
    try {
      await this.#pass(request, response, client, lane, path)
    } catch (error) {
      this.#options.log.error({ error: String(error), provider: name }, 'a model call failed inside the gateway')
      if (response.headersSent) response.destroy()
      else refuse(response, { failure: 'unavailable', status: 500, message: 'the gateway failed' }, lane.provider.api)
    }
  }

  async #pass(
    request: IncomingMessage,
    response: ServerResponse,
    client: Client,
    lane: Lane,
    path: string,
  ): Promise<void> {
    const { api } = lane.provider
    const method = request.method ?? 'GET'
    const read = await readWhole(request, limits.modelRequestBytes)
    if (read.kind === 'cut') return
    if (read.kind === 'too_large') {
      const message = `a request to a model has at most ${limits.modelRequestBytes} bytes`
      return refuse(response, { failure: 'bad_request', status: 413, message }, api)
    }
    const endpoint = endpointOf(api, method, path)
    const facts = read.bytes.length === 0 ? null : readRequest(endpoint, read.bytes, client.toolCalls)
    const named = attemptNamed(request.headers)
    const attempt = client.attemptOf(named)
    if (named !== null && attempt === null) {
      const message = `the attempt of task ${named.taskId} that this call names is over`
      return refuse(response, { failure: 'bad_request', status: 409, message, code: 'stale_fence' }, api)
    }
    const report = new Report(this.#options, client, attempt)
    if (facts !== null) report.tools(client.unseen(attempt, facts.toolResults))
    const stay = client.begin(() => response.destroy())
    try {
      const reason = await withinBudget(this.#options.budget, client, stay, attempt, facts, lane.prices)
      if (reason !== null)
        return refuse(
          response,
          { failure: 'quota_exhausted', status: 403, message: reason, code: 'budget_exceeded' },
          api,
        )
      const notes = attempt === null || facts === null ? [] : client.takeHints(attempt)
      const sent = notes.length === 0 ? read.bytes : withNotes(endpoint, read.bytes, notes)
      const asked: Asked = {
        ...{ client, lane, endpoint, method, path, facts, rawHeaders: request.rawHeaders },
        body: sent.length === 0 ? null : sent,
        isRepeated: client.failures.has(sent),
      }
      const parts = { clock: this.#options.clock, deadlines: this.#deadlines }
      const answered = await new Call(parts, asked, response, report).run()
      if (answered === 'failed') client.failures.note(sent)
      else if (answered === 'served') client.failures.forget(sent)
    } finally {
      stay.leave()
    }
  }
}
