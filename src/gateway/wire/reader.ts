import { limits } from '../../model/limits.ts'
import {
  Heard,
  hearChat,
  hearChatEvent,
  hearEmbeddings,
  hearMessages,
  hearMessagesEvent,
  hearResponses,
  hearResponsesEvent,
  type Meaning,
} from './answer.ts'
import { failureInStream, readError } from './classify.ts'
import { isObject, type Loose, parseJson } from './json.ts'
import { parse, type SseEvent, SseSplitter } from './sse.ts'
import type { Endpoint, ResponseFacts, WireFault } from './types.ts'

type HearEvent = (heard: Heard, data: string) => Meaning
type HearAnswer = (heard: Heard, answer: Loose) => Meaning

const eventsOf: Partial<Record<Endpoint, HearEvent>> = {
  chat: hearChatEvent,
  responses: hearResponsesEvent,
  messages: hearMessagesEvent,
}
const answersOf: Partial<Record<Endpoint, HearAnswer>> = {
  chat: hearChat,
  responses: hearResponses,
  messages: hearMessages,
  embeddings: hearEmbeddings,
}

/** How a stream ended. */
export interface StreamEnd {
  /** What was held back and may go after all. */
  readonly rest: readonly Buffer[]
  readonly fault: WireFault | null
  /** Of an answer that is whole. */
  readonly facts: ResponseFacts | null
}

/**
 * Reads a streamed answer while it passes, an event at a time: an event goes on
 * when it was understood, in the very bytes in which it came. At the first that is
 * broken the passing stops, for good. An error that the provider itself puts
 * into its stream passes: the client's library knows it.
 */
export class StreamReader {
  readonly #splitter = new SseSplitter(limits.modelEventBytes)
  readonly #hear: HearEvent | null
  readonly #heard = new Heard()
  #fault: WireFault | null = null
  #isEnded = false
  /** Events that say something; comments and pings keep a connection open and no promise. */
  beats = 0

  constructor(endpoint: Endpoint) {
    this.#hear = eventsOf[endpoint] ?? null
  }

  /** Once there is one, nothing passes any more. */
  get fault(): WireFault | null {
    return this.#fault
  }

  /** What may be passed on now. */
  push(chunk: Buffer): readonly Buffer[] {
    if (this.#hear === null) {
      this.beats += 1
      return [chunk]
    }
    if (this.#fault !== null) return []
    const passed: Buffer[] = []
    for (const event of this.#splitter.push(chunk)) if (this.#hearEvent(event, passed)) break
    if (this.#splitter.isTooLong)
      this.#fault ??= broken(`an event of its stream is longer than ${limits.modelEventBytes} bytes`)
    return passed
  }

  end(): StreamEnd {
    if (this.#hear === null) return { rest: [], fault: null, facts: null }
    const rest: Buffer[] = []
    // The last event may lack its empty line.
    const left = this.#splitter.rest
    if (this.#fault === null && left.length > 0) this.#hearEvent(parse(left), rest)
    if (this.#fault !== null) return { rest, fault: this.#fault, facts: null }
    // Some servers end a chat without `[DONE]`: the reason why it finished is an end as well.
    if (!this.#isEnded && this.#heard.finish === null)
      return { rest: [], fault: broken('its stream broke off in the middle'), facts: null }
    return { rest, fault: null, facts: this.#heard.facts() }
  }

  /** True: nothing may follow. */
  #hearEvent(event: SseEvent, passed: Buffer[]): boolean {
    if (event.data === null || this.#isEnded || this.#hear === null) {
      passed.push(event.bytes)
      return false
    }
    const meaning = this.#hear(this.#heard, event.data)
    if (meaning === 'more' && event.name === 'ping') {
      passed.push(event.bytes)
      return false
    }
    this.beats += 1
    if (typeof meaning === 'object' && 'broken' in meaning) {
      this.#fault = broken(meaning.broken)
      return true
    }
    passed.push(event.bytes)
    if (typeof meaning === 'object') {
      const { message, said } = readError(meaning.error)
      const failure = failureInStream(said)
      this.#fault = {
        failure,
        status: 502,
        message: message ?? 'an error in its stream',
        retryAfterMs: null,
        words: [],
      }
      this.isPassed = true
      return true
    }
    if (meaning === 'end') this.#isEnded = true
    return false
  }

  /** The fault is the provider's own word, and has been passed on. */
  isPassed = false
}

/** Reads an answer that came as a whole. */
export function readAnswer(endpoint: Endpoint, body: Buffer): Omit<StreamEnd, 'rest'> {
  const hear = answersOf[endpoint]
  if (hear === undefined) return { fault: null, facts: null }
  const answer = parseJson(body.toString('utf8'))
  if (!isObject(answer)) return { fault: broken('its answer is no JSON'), facts: null }
  const heard = new Heard()
  const meaning = hear(heard, answer)
  if (typeof meaning === 'object')
    return { fault: broken('broken' in meaning ? meaning.broken : meaning.error), facts: null }
  return { fault: null, facts: heard.facts() }
}

function broken(message: string): WireFault {
  return { failure: 'garbled', status: 502, message, retryAfterMs: null, words: [] }
}
