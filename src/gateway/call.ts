import type { IncomingMessage, ServerResponse } from 'node:http'
import { limits } from '../model/limits.ts'
import type { GateCall, RateWords } from '../policy/gate/gate.ts'
import type { Clock } from '../port/clock.ts'
import { readWhole } from './body.ts'
import type { Client } from './callers.ts'
import type { Deadlines } from './deadlines.ts'
import type { Entered } from './gate-keeper.ts'
import { toClient, toProvider } from './headers.ts'
import type { Lane } from './lane.ts'
import type { Report } from './report.ts'
import { failedUsage, usageOf } from './usage.ts'
import { classify, rateWords } from './wire/classify.ts'
import { errorBody, errorEvent } from './wire/errors.ts'
import { readAnswer, StreamReader } from './wire/reader.ts'
import type { Endpoint, RequestFacts, ResponseFacts, WireFault } from './wire/types.ts'

/** How long a call may wait at the gate: the clients' own ten minutes, less the time to tell them, ms. */
const patienceMs = 570_000

/** Failures that clients try again by themselves. */
const mayPass: ReadonlySet<WireFault['failure']> = new Set(['rate_limited', 'overloaded', 'unavailable', 'garbled'])

/** One request of a client, understood. */
export interface Asked {
  readonly client: Client
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
  | { readonly kind: 'served'; readonly facts: ResponseFacts | null; readonly words: readonly RateWords[] }
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

  /** Resolves when the client has its answer, or has left. Never rejects. */
  async run(): Promise<'served' | 'failed' | 'left'> {
    const { lane, facts: asked } = this.#asked
    let again: GateCall | null = null
    for (;;) {
      const entered = await this.#enter(again)
      if (entered.kind === 'left') return this.#leave()
      if (entered.kind === 'refused') return this.#refuse(entered)
      this.#report.doing(asked?.model ?? this.#asked.endpoint, lane.provider.name, this.#answerMs)
      const outcome = await this.#try()
      this.#parts.deadlines.clear(this)
      if (outcome.kind === 'left') {
        lane.gate.leave(entered.call, 'left')
        return this.#leave()
      }
      if (outcome.kind === 'served') {
        lane.gate.leave(entered.call, 'served', outcome.words)
        return this.#served(outcome.facts)
      }
      again = lane.gate.leave(entered.call, outcome.fault)
      this.#report.used(failedUsage(lane.provider.name, asked, outcome.fault))
      if (outcome.isBegun) return 'failed'
      if (again === null) return this.#fail(outcome.fault, outcome.original)
    }
  }

  #enter(again: GateCall | null): Promise<Entered> {
    const { client, lane, isRepeated } = this.#asked
    const deadlineMs = this.#parts.clock.nowMs() + patienceMs
    const ask = { replica: client.caller.replica, deadlineMs, isRepeated, again }
    const { name } = lane.provider
    return lane.gate.enter(ask, this.#left.signal, (why) =>
      this.#report.doing(`waiting for ${name}: ${why}`, name, patienceMs),
    )
  }

  async #try(): Promise<Outcome> {
    const { client, lane, method, path, rawHeaders, body } = this.#asked
    this.#cut = new AbortController()
    if (this.#left.signal.aborted) return { kind: 'left' }
    const headers = toProvider(rawHeaders, lane.provider, client.token, body === null ? null : body.length)
    this.#expect(this.#answerMs, 'no answer')
    const reply = await lane.upstream.send({ method, path, headers, body }, this.#cut.signal)
    if (reply.kind === 'failed') return this.#broken(reply.reason)
    const { message } = reply
    const status = message.statusCode ?? 502
    if (status >= 400) return this.#refused(message, status)
    const isStream = /^text\/event-stream/i.test(message.headers['content-type'] ?? '')
    return isStream ? this.#passStream(message, status) : this.#passWhole(message, status)
  }

  #passStream(message: IncomingMessage, status: number): Promise<Outcome> {
    const reader = new StreamReader(this.#asked.endpoint)
    const { promise, resolve } = Promise.withResolvers<Outcome>()
    const response = this.#response
    const { modelIdleMs } = this.#asked.client.spec.deadlines
    let beats = 0
    let reason: string | null = null
    const pass = (parts: readonly Buffer[]): boolean => {
      let hasRoom = true
      for (const part of parts) {
        if (!response.headersSent) response.writeHead(status, toClient(message.rawHeaders))
        hasRoom = response.write(part)
      }
      return hasRoom
    }
    message.on('data', (chunk: Buffer) => {
      const hasRoom = pass(reader.push(chunk))
      if (reader.beats !== beats) this.#expect(modelIdleMs, 'silence in its answer')
      beats = reader.beats
      if (reader.fault !== null) message.destroy()
      else if (!hasRoom) {
        message.pause()
        response.once('drain', () => message.resume())
      }
    })
    message.on('error', (error: NodeJS.ErrnoException) => {
      reason = error.code ?? error.message
    })
    message.on('close', () => resolve(this.#endOfStream(message, status, reader, pass, reason)))
    return promise
  }

  #endOfStream(
    message: IncomingMessage,
    status: number,
    reader: StreamReader,
    pass: (parts: readonly Buffer[]) => boolean,
    reason: string | null,
  ): Outcome {
    const response = this.#response
    const { rest, fault, facts } = reader.end()
    if (this.#left.signal.aborted) return { kind: 'left' }
    pass(rest)
    if (fault === null) {
      if (!response.headersSent) response.writeHead(status, toClient(message.rawHeaders))
      response.end()
      return { kind: 'served', facts, words: rateWords(message.headers, this.#parts.clock.nowMs()) }
    }
    // Why the connection ended says more than that the stream broke off.
    const isOurs = reason !== null || this.#cut.signal.aborted
    const told = isOurs && reader.fault === null ? this.#fault(reason ?? '') : this.#named(fault)
    if (!response.headersSent) return { kind: 'failed', fault: told, original: null, isBegun: false }
    if (reader.isPassed) response.end()
    else response.end(errorEvent(this.#asked.endpoint, told))
    return { kind: 'failed', fault: told, original: null, isBegun: true }
  }

  async #passWhole(message: IncomingMessage, status: number): Promise<Outcome> {
    const body = await readWhole(message, limits.modelAnswerBytes)
    if (this.#left.signal.aborted) return { kind: 'left' }
    if (body.kind === 'cut') return this.#broken(body.reason)
    if (body.kind === 'too_large') {
      message.destroy()
      return this.#garbled(`its answer is longer than ${limits.modelAnswerBytes} bytes`)
    }
    const { fault, facts } = readAnswer(this.#asked.endpoint, body.bytes)
    if (fault !== null) return { kind: 'failed', fault: this.#named(fault), original: null, isBegun: false }
    this.#send({ status, headers: toClient(message.rawHeaders), body: body.bytes })
    return { kind: 'served', facts, words: rateWords(message.headers, this.#parts.clock.nowMs()) }
  }

  /** An answer that says no. */
  async #refused(message: IncomingMessage, status: number): Promise<Outcome> {
    const body = await readWhole(message, limits.modelErrorBytes)
    if (this.#left.signal.aborted) return { kind: 'left' }
    const bytes = body.kind === 'whole' ? body.bytes : Buffer.alloc(0)
    const fault = classify(this.#asked.lane.provider.api, status, message.headers, bytes, this.#parts.clock.nowMs())
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

  #garbled(message: string): Outcome {
    const fault = this.#named({ failure: 'garbled', status: 502, message, retryAfterMs: null, words: [] })
    return { kind: 'failed', fault, original: null, isBegun: false }
  }

  #named(fault: WireFault): WireFault {
    return { ...fault, message: `${this.#asked.lane.provider.name}: ${fault.message}` }
  }

  /** From now on, `forMs` until the next sign; then the connection is cut. */
  #expect(forMs: number, what: string): void {
    const { clock, deadlines } = this.#parts
    const cut = this.#cut
    deadlines.set(this, clock.nowMs() + forMs, () => cut.abort(`${what} for ${forMs / 1_000} s`))
  }

  /** How long the first sign of an answer may take; one that is not streamed gives none before its end. */
  get #answerMs(): number {
    const { modelFirstByteMs, modelAnswerMs } = this.#asked.client.spec.deadlines
    return this.#asked.facts?.stream === true ? modelFirstByteMs : modelAnswerMs
  }

  #served(facts: ResponseFacts | null): 'served' {
    const { client, lane, facts: asked } = this.#asked
    if (facts === null) this.#report.done()
    else {
      client.heard(facts.toolCalls)
      this.#report.used(usageOf(lane, asked, facts))
    }
    return 'served'
  }

  #leave(): 'left' {
    this.#report.done()
    return 'left'
  }

  #fail(fault: WireFault, original: Original | null): 'failed' {
    const { api } = this.#asked.lane.provider
    const own = { status: fault.status, headers: ['Content-Type', 'application/json'], body: errorBody(api, fault) }
    const answer = original ?? own
    // It was tried as often as may be: the clients' own retries would only hit the same gate.
    const headers = mayPass.has(fault.failure) ? [...answer.headers, 'x-should-retry', 'false'] : answer.headers
    this.#send({ ...answer, headers })
    return 'failed'
  }

  #refuse({ retryAfterMs, reason }: Extract<Entered, { readonly kind: 'refused' }>): 'failed' {
    const { api } = this.#asked.lane.provider
    this.#report.done()
    const fault: WireFault = { failure: 'rate_limited', status: 429, message: reason, retryAfterMs, words: [] }
    const retryAfter = ['Retry-After', String(Math.ceil(retryAfterMs / 1_000)), 'x-should-retry', 'false']
    this.#send({
      status: 429,
      headers: ['Content-Type', 'application/json', ...retryAfter],
      body: errorBody(api, fault),
    })
    return 'failed'
  }

  #send({ status, headers, body }: Original): void {
    if (this.#left.signal.aborted) return
    const isSized = headers.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'content-length')
    this.#response.writeHead(status, isSized ? headers : [...headers, 'Content-Length', String(body.length)])
    this.#response.end(body)
  }
}
