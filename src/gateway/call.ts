import type { IncomingMessage, ServerResponse } from 'node:http'
import { limits } from '../model/limits.ts'
import type { ModelUsage } from '../model/observation.ts'
import type { Clock } from '../port/clock.ts'
import type { RunningAttempt } from '../port/model-door.ts'
import { readWhole } from './body.ts'
import type { Client } from './callers.ts'
import type { Deadlines } from './deadlines.ts'
import type { Entered, GateKeeper } from './gate-keeper.ts'
import { toClient, toProvider } from './headers.ts'
import type { Lane } from './lane.ts'
import type { Report } from './report.ts'
import { failedUsage, usageOf } from './usage.ts'
import { classify } from './wire/classify.ts'
import { errorBody, errorEvent } from './wire/errors.ts'
import { createResponseReader } from './wire/reader.ts'
import type { Endpoint, RequestFacts, ResponseFacts, WireFault } from './wire/types.ts'

/** How long a call may wait at the gate: the clients' own ten minutes, less the time to tell them, ms. */
const patienceMs = 570_000

/** One request of a client, understood. */
export interface Asked {
  readonly client: Client
  readonly attempt: RunningAttempt | null
  readonly lane: Lane
  readonly endpoint: Endpoint
  readonly method: string
  /** After the provider's base address. */
  readonly path: string
  readonly rawHeaders: readonly string[]
  readonly body: Buffer | null
  readonly facts: RequestFacts | null
  /** The client asks again for what failed a moment ago. */
  readonly isRepeated: boolean
}

type Outcome =
  | { readonly kind: 'served'; readonly facts: ResponseFacts | null }
  | {
      readonly kind: 'failed'
      readonly fault: WireFault
      readonly original: Original | null
      readonly isBegun: boolean
    }
  | { readonly kind: 'left' }

/** The provider's own words for a failure. */
interface Original {
  readonly status: number
  readonly headers: string[]
  readonly body: Buffer
}

export interface CallParts {
  readonly clock: Clock
  readonly deadlines: Deadlines
}

/**
 * One model call on its way: in at the gate, out to the provider, as often as
 * the gate allows, and back, byte for byte.
 *
 * I1. Nothing is passed on of an answer that turns out to be broken, but an error that the client's library knows.
 * I2. Once a byte of an answer was passed on, the call is not tried again.
 * I3. Whatever happens, its gate is left exactly once for each time it was entered.
 */
export class Call {
  readonly #parts: CallParts
  readonly #asked: Asked
  readonly #response: ServerResponse
  readonly #report: Report
  /** Aborted when the client has left, or is gone. */
  readonly #left = new AbortController()
  #cut = new AbortController()

  constructor(parts: CallParts, asked: Asked, response: ServerResponse, report: Report) {
    this.#parts = parts
    this.#asked = asked
    this.#response = response
    this.#report = report
    response.on('close', () => this.abort())
  }

  /** The client is not there any more. */
  abort(): void {
    this.#left.abort()
    this.#cut.abort()
  }

  /** Resolves when the client has its answer, or has left; with what it was answered. Never rejects. */
  async run(): Promise<WireFault | null> {
    const { lane, isRepeated } = this.#asked
    const { gate } = lane
    for (let tries = 0; ; tries++) {
      const entered = await this.#enter(gate, tries > 0 || isRepeated)
      if (entered.kind === 'left') return null
      if (entered.kind === 'refused') return this.#refuse(entered)
      this.#report.doing(this.#name(), lane.provider.name, this.#deadlineMs())
      const outcome = await this.#try()
      this.#parts.deadlines.clear(this)
      const again = gate.leave(entered.id, outcome.kind === 'failed' ? outcome.fault : outcome.kind)
      if (outcome.kind === 'left') return this.#leave()
      if (outcome.kind === 'served') return this.#served(outcome.facts)
      this.#report.used(failedUsage(lane.provider.name, this.#asked.facts, outcome.fault))
      if (outcome.isBegun) return outcome.fault
      if (!again) return this.#fail(outcome.fault, outcome.original)
    }
  }

  async #enter(gate: GateKeeper, isRetry: boolean): Promise<Entered> {
    const { client, lane } = this.#asked
    const deadlineMs = this.#parts.clock.nowMs() + patienceMs
    const ask = { replica: client.caller.replica, deadlineMs, isRetry }
    return gate.enter(ask, this.#left.signal, () =>
      this.#report.doing(`waiting for ${lane.provider.name}`, lane.provider.name, patienceMs),
    )
  }

  async #try(): Promise<Outcome> {
    const { client, lane, method, path, rawHeaders, body } = this.#asked
    this.#cut = new AbortController()
    if (this.#left.signal.aborted) return { kind: 'left' }
    const headers = toProvider(rawHeaders, lane.provider, client.token, body === null ? null : body.length)
    this.#expect(this.#deadlineMs(), 'no answer')
    const reply = await lane.upstream.send({ method, path, headers, body }, this.#cut.signal)
    if (reply.kind === 'failed') return this.#broken(reply.reason)
    const { message } = reply
    const status = message.statusCode ?? 502
    if (status >= 400) return this.#refused(message, status)
    const isStream = /^text\/event-stream/i.test(message.headers['content-type'] ?? '')
    return isStream ? this.#passStream(message, status) : this.#passWhole(message, status)
  }

  async #passStream(message: IncomingMessage, status: number): Promise<Outcome> {
    const { endpoint } = this.#asked
    const reader = createResponseReader({ endpoint, status, stream: true })
    const { promise, resolve } = Promise.withResolvers<Outcome>()
    const response = this.#response
    let beats = 0
    let reason: string | null = null
    const finish = (): void => {
      const end = reader.end()
      // A fault in what came tells more than that the connection broke afterwards.
      const fault = end.fault ?? (reason === null ? null : this.#fault(reason))
      if (this.#left.signal.aborted) return resolve({ kind: 'left' })
      if (fault === null || end.isComplete) {
        this.#begin(message, status)
        for (const part of end.rest) response.write(part)
        response.end()
        return resolve({ kind: 'served', facts: end.facts })
      }
      if (!response.headersSent) return resolve({ kind: 'failed', fault, original: null, isBegun: false })
      response.end(errorEvent(endpoint, fault))
      resolve({ kind: 'failed', fault, original: null, isBegun: true })
    }
    message.on('data', (chunk: Buffer) => {
      const parts = reader.push(chunk)
      if (reader.beats !== beats) this.#expect(this.#asked.client.spec.deadlines.modelIdleMs, 'silence in its answer')
      beats = reader.beats
      let hasRoom = true
      for (const part of parts) {
        this.#begin(message, status)
        hasRoom = response.write(part)
      }
      if (reader.fault !== null) message.destroy()
      else if (!hasRoom) {
        message.pause()
        response.once('drain', () => message.resume())
      }
    })
    message.on('error', (error: NodeJS.ErrnoException) => {
      reason = error.code ?? error.message
    })
    message.on('close', finish)
    return promise
  }

  async #passWhole(message: IncomingMessage, status: number): Promise<Outcome> {
    const { endpoint } = this.#asked
    const body = await readWhole(message, limits.modelAnswerBytes)
    if (this.#left.signal.aborted) return { kind: 'left' }
    if (body.kind === 'cut') return this.#broken(body.reason)
    if (body.kind === 'too_large') {
      message.destroy()
      return this.#garbled(`its answer is longer than ${limits.modelAnswerBytes} bytes`)
    }
    const reader = createResponseReader({ endpoint, status, stream: false })
    reader.push(body.bytes)
    const { fault, facts } = reader.end()
    if (fault !== null) return { kind: 'failed', fault, original: null, isBegun: false }
    this.#send({ status, headers: toClient(message.rawHeaders), body: body.bytes })
    return { kind: 'served', facts }
  }

  /** An answer that says no. */
  async #refused(message: IncomingMessage, status: number): Promise<Outcome> {
    const body = await readWhole(message, limits.modelErrorBytes)
    if (this.#left.signal.aborted) return { kind: 'left' }
    const bytes = body.kind === 'whole' ? body.bytes : Buffer.alloc(0)
    const fault = classify(this.#asked.lane.provider.api, status, message.headers, bytes)
    const original = { status, headers: toClient(message.rawHeaders), body: bytes }
    return { kind: 'failed', fault, original: body.kind === 'whole' ? original : null, isBegun: false }
  }

  #broken(reason: string): Outcome {
    if (this.#left.signal.aborted) return { kind: 'left' }
    return { kind: 'failed', fault: this.#fault(reason), original: null, isBegun: false }
  }

  /** Why the connection ended: a deadline of ours, or what the system says. */
  #fault(reason: string): WireFault {
    const said = this.#cut.signal.aborted ? String(this.#cut.signal.reason) : reason
    const { name } = this.#asked.lane.provider
    return { failure: 'unavailable', status: 502, message: `${name}: ${said}`, retryAfterMs: null, words: [] }
  }

  #garbled(reason: string): Outcome {
    const message = `${this.#asked.lane.provider.name}: ${reason}`
    const fault: WireFault = { failure: 'garbled', status: 502, message, retryAfterMs: null, words: [] }
    return { kind: 'failed', fault, original: null, isBegun: false }
  }

  /** From now on, `forMs` until the next sign; then the connection is cut. */
  #expect(forMs: number, what: string): void {
    const { clock, deadlines } = this.#parts
    const cut = this.#cut
    deadlines.set(this, clock.nowMs() + forMs, () => cut.abort(`${what} for ${forMs / 1_000} s`))
  }

  #deadlineMs(): number {
    const { modelFirstByteMs, modelAnswerMs } = this.#asked.client.spec.deadlines
    return this.#asked.facts?.stream === true ? modelFirstByteMs : modelAnswerMs
  }

  #name(): string {
    return this.#asked.facts?.model ?? this.#asked.endpoint
  }

  #begin(message: IncomingMessage, status: number): void {
    if (!this.#response.headersSent) this.#response.writeHead(status, toClient(message.rawHeaders))
  }

  #served(facts: ResponseFacts | null): null {
    const { lane, facts: asked } = this.#asked
    if (facts === null) this.#report.done()
    else this.#report.used(usageOf(lane, asked, facts))
    return null
  }

  #leave(): null {
    this.#report.done()
    return null
  }

  #fail(fault: WireFault, original: Original | null): WireFault {
    const own = errorBody(this.#asked.lane.provider.api, fault)
    const answer = original ?? { status: fault.status, headers: ['Content-Type', 'application/json'], body: own }
    // It was tried as often as may be: the clients' own retries would only hit the same gate.
    this.#send({ ...answer, headers: [...answer.headers, 'x-should-retry', 'false'] })
    return fault
  }

  #refuse({ retryAfterMs, reason }: Extract<Entered, { readonly kind: 'refused' }>): WireFault {
    const { provider } = this.#asked.lane
    this.#report.done()
    const fault: WireFault = { failure: 'rate_limited', status: 429, message: reason, retryAfterMs, words: [] }
    const headers = ['Content-Type', 'application/json', 'Retry-After', String(Math.ceil(retryAfterMs / 1_000))]
    this.#send({ status: 429, headers: [...headers, 'x-should-retry', 'false'], body: errorBody(provider.api, fault) })
    return fault
  }

  #send({ status, headers, body }: Original): void {
    if (this.#left.signal.aborted) return
    const isSized = headers.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'content-length')
    this.#response.writeHead(status, isSized ? headers : [...headers, 'Content-Length', String(body.length)])
    this.#response.end(body)
  }
}
