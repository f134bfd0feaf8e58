import { countIn, hashOf, isObject, type Loose, objectsIn, parseJson, textIn, textLengthOf, tokensIn } from './json.ts'
import { chatCalls, messagesCall, responsesCall } from './request.ts'
import type { ResponseFacts, TokenCounts, ToolCall } from './types.ts'

/** What of an answer was heard so far. */
export class Heard {
  id: string | null = null
  model: string | null = null
  tokens: TokenCounts = { promptTokens: null, completionTokens: null, cachedTokens: 0, cacheWriteTokens: 0 }
  finish: string | null = null
  readonly #texts: string[] = []
  #textLength = 0
  /** By the place in the answer at which they stand. */
  readonly #calls = new Map<string, { callId: string; name: string; args: string[] }>()

  named(value: Loose): void {
    this.id = textIn(value.id) ?? this.id
    this.model = textIn(value.model) ?? this.model
  }

  text(value: unknown): void {
    if (typeof value !== 'string') return
    this.#texts.push(value)
    this.#textLength += value.length
  }

  call(at: string, { callId, name, args }: Partial<ToolCall>): void {
    const call = this.#calls.get(at) ?? { callId: '', name: '', args: [] }
    if (callId !== undefined && callId !== '') call.callId = callId
    if (name !== undefined && name !== '') call.name = name
    if (args !== undefined) call.args.push(args)
    this.#calls.set(at, call)
  }

  /** What was said in parts is said once more as a whole. */
  wholeCall(at: string, call: ToolCall): void {
    this.#calls.set(at, { callId: call.callId, name: call.name, args: [call.args] })
  }

  get isEmpty(): boolean {
    return this.#textLength === 0 && this.#calls.size === 0
  }

  get calls(): readonly ToolCall[] {
    return [...this.#calls.values()].map(({ callId, name, args }) => ({ callId, name, args: args.join('') }))
  }

  /** A tool call that is cut in half, or null. No arguments at all are none. */
  get halfCall(): ToolCall | null {
    return this.calls.find(({ args }) => args !== '' && parseJson(args) === undefined) ?? null
  }

  facts(): ResponseFacts {
    const text = this.#texts.join('')
    const calls = this.calls
    const { promptTokens, completionTokens } = this.tokens
    const said = text.length + calls.reduce((sum, { name, args }) => sum + name.length + args.length, 0)
    return {
      ...this.tokens,
      id: this.id,
      model: this.model,
      completionTokens: completionTokens ?? tokensIn(said),
      isEstimated: promptTokens === null || completionTokens === null,
      toolCalls: calls,
      textHash: text === '' ? null : hashOf(text),
      textLength: text.length,
      finish: this.finish,
    }
  }
}

/** What an event, or a whole answer, means for its reader. */
export type Meaning = 'more' | 'end' | { readonly broken: string } | { readonly error: string }

const more = 'more'

// OpenAI, Chat Completions.

export function hearChatEvent(heard: Heard, data: string): Meaning {
  if (data.trim() === '[DONE]')
    return heard.finish === null && heard.isEmpty ? { broken: 'its stream ended without an answer' } : endOfCalls(heard)
  const chunk = parseJson(data)
  if (!isObject(chunk)) return { broken: 'an event of its stream is no JSON' }
  if (isError(chunk.error)) return { error: data }
  heard.named(chunk)
  if (isObject(chunk.usage))
    heard.tokens = openaiTokens(chunk.usage, 'prompt_tokens', 'completion_tokens', 'prompt_tokens_details')
  for (const choice of objectsIn(chunk.choices)) {
    const at = countIn(choice.index) ?? 0
    if (isObject(choice.delta)) hearChatDelta(heard, at, choice.delta)
    const finish = textIn(choice.finish_reason)
    if (finish === null) continue
    heard.finish = finish
    const broken = brokenCall(heard, finish !== 'length' && finish !== 'content_filter')
    if (broken !== null) return broken
  }
  return more
}

function hearChatDelta(heard: Heard, at: number, delta: Loose): void {
  heard.text(delta.content)
  heard.text(delta.refusal)
  for (const call of objectsIn(delta.tool_calls)) {
    const place = `${at}.${countIn(call.index) ?? textIn(call.id) ?? 0}`
    const part = isObject(call.function) ? call.function : {}
    heard.call(place, {
      callId: textIn(call.id) ?? '',
      name: textIn(part.name) ?? '',
      args: textIn(part.arguments) ?? '',
    })
  }
}

export function hearChat(heard: Heard, answer: Loose): Meaning {
  heard.named(answer)
  const choices = objectsIn(answer.choices)
  if (choices.length === 0) return { broken: 'its answer has no choices' }
  if (isObject(answer.usage))
    heard.tokens = openaiTokens(answer.usage, 'prompt_tokens', 'completion_tokens', 'prompt_tokens_details')
  for (const [at, choice] of choices.entries()) {
    const message = isObject(choice.message) ? choice.message : {}
    heard.text(message.content)
    heard.text(message.refusal)
    const functions = objectsIn(message.tool_calls).filter(({ type }) => type !== 'custom')
    for (const [place, call] of chatCalls({ tool_calls: functions }).entries()) heard.wholeCall(`${at}.${place}`, call)
    heard.finish = textIn(choice.finish_reason) ?? heard.finish
  }
  return brokenCall(heard, heard.finish !== 'length') ?? 'end'
}

// OpenAI, Responses.

export function hearResponsesEvent(heard: Heard, data: string): Meaning {
  if (data.trim() === '[DONE]') return endOfCalls(heard)
  const event = parseJson(data)
  if (!isObject(event)) return { broken: 'an event of its stream is no JSON' }
  const place = String(countIn(event.output_index) ?? 0)
  switch (event.type) {
    case 'error':
    case 'response.failed':
      return { error: data }
    case 'response.output_text.delta':
    case 'response.refusal.delta':
      heard.text(event.delta)
      return more
    case 'response.function_call_arguments.delta':
    case 'response.custom_tool_call_input.delta':
      return more
    case 'response.output_item.done': {
      const item = isObject(event.item) ? event.item : {}
      const call = item.type === 'function_call' ? responsesCall(item) : null
      if (call !== null) heard.wholeCall(place, call)
      return brokenCall(heard, item.status !== 'incomplete') ?? more
    }
    case 'response.completed':
    case 'response.incomplete': {
      const response = isObject(event.response) ? event.response : {}
      heard.named(response)
      heard.finish = textIn(response.status)
      if (isObject(response.usage))
        heard.tokens = openaiTokens(response.usage, 'input_tokens', 'output_tokens', 'input_tokens_details')
      return 'end'
    }
    default:
      if (isObject(event.response)) heard.named(event.response)
      return isError(event.error) ? { error: data } : more
  }
}

export function hearResponses(heard: Heard, answer: Loose): Meaning {
  heard.named(answer)
  heard.finish = textIn(answer.status)
  if (isObject(answer.usage))
    heard.tokens = openaiTokens(answer.usage, 'input_tokens', 'output_tokens', 'input_tokens_details')
  if (!Array.isArray(answer.output) && answer.status !== 'queued' && answer.status !== 'in_progress')
    return { broken: 'its answer has no output' }
  for (const [place, item] of objectsIn(answer.output).entries()) {
    for (const part of objectsIn(item.content)) heard.text(textIn(part.text) ?? part.refusal)
    const call = item.type === 'function_call' ? responsesCall(item) : null
    if (call !== null) heard.wholeCall(String(place), call)
  }
  return brokenCall(heard, answer.status !== 'incomplete') ?? 'end'
}

// Anthropic, Messages.

export function hearMessagesEvent(heard: Heard, data: string): Meaning {
  const event = parseJson(data)
  if (!isObject(event)) return { broken: 'an event of its stream is no JSON' }
  const place = String(countIn(event.index) ?? 0)
  switch (event.type) {
    case 'error':
      return { error: data }
    case 'message_start':
      if (isObject(event.message)) {
        heard.named(event.message)
        if (isObject(event.message.usage)) heard.tokens = anthropicTokens(event.message.usage, heard.tokens)
      }
      return more
    case 'content_block_start': {
      const block = isObject(event.content_block) ? event.content_block : {}
      heard.text(block.text)
      if (block.type === 'tool_use')
        heard.call(place, { callId: textIn(block.id) ?? '', name: textIn(block.name) ?? '' })
      return more
    }
    case 'content_block_delta': {
      const delta = isObject(event.delta) ? event.delta : {}
      if (delta.type === 'text_delta') heard.text(delta.text)
      if (delta.type === 'input_json_delta') heard.call(place, { args: textIn(delta.partial_json) ?? '' })
      return more
    }
    case 'message_delta': {
      const delta = isObject(event.delta) ? event.delta : {}
      heard.finish = textIn(delta.stop_reason) ?? heard.finish
      if (isObject(event.usage)) heard.tokens = anthropicTokens(event.usage, heard.tokens)
      return brokenCall(heard, heard.finish !== 'max_tokens') ?? more
    }
    case 'message_stop':
      return 'end'
    default:
      return more
  }
}

export function hearMessages(heard: Heard, answer: Loose): Meaning {
  heard.named(answer)
  heard.finish = textIn(answer.stop_reason)
  if (!Array.isArray(answer.content)) return { broken: 'its answer has no content' }
  if (isObject(answer.usage)) heard.tokens = anthropicTokens(answer.usage, heard.tokens)
  for (const [place, block] of objectsIn(answer.content).entries()) {
    heard.text(block.text)
    for (const call of messagesCall(block)) heard.wholeCall(String(place), call)
  }
  return 'end'
}

export function hearEmbeddings(heard: Heard, answer: Loose): Meaning {
  heard.named(answer)
  if (!Array.isArray(answer.data)) return { broken: 'its answer has no data' }
  const { usage } = answer
  const promptTokens = isObject(usage) ? countIn(usage.prompt_tokens) : tokensIn(textLengthOf(answer.input))
  heard.tokens = { promptTokens, completionTokens: 0, cachedTokens: 0, cacheWriteTokens: 0 }
  return 'end'
}

function endOfCalls(heard: Heard): Meaning {
  return brokenCall(heard, heard.finish !== 'length') ?? 'end'
}

/** Half a tool call is worse than none: it would be carried out. */
function brokenCall(heard: Heard, isWhole: boolean): { readonly broken: string } | null {
  const half = isWhole ? heard.halfCall : null
  return half === null ? null : { broken: `its call of the tool "${half.name}" is cut in half` }
}

function isError(error: unknown): boolean {
  return isObject(error) || (typeof error === 'string' && error !== '')
}

function openaiTokens(usage: Loose, prompt: string, completion: string, details: string): TokenCounts {
  const of = usage[details]
  return {
    promptTokens: countIn(usage[prompt]),
    completionTokens: countIn(usage[completion]),
    cachedTokens: isObject(of) ? (countIn(of.cached_tokens) ?? 0) : 0,
    cacheWriteTokens: 0,
  }
}

/** Theirs are without what came from the cache. */
function anthropicTokens(usage: Loose, before: TokenCounts): TokenCounts {
  const input = countIn(usage.input_tokens)
  const cachedTokens = countIn(usage.cache_read_input_tokens) ?? before.cachedTokens
  const cacheWriteTokens = countIn(usage.cache_creation_input_tokens) ?? before.cacheWriteTokens
  return {
    promptTokens: input === null ? before.promptTokens : input + cachedTokens + cacheWriteTokens,
    completionTokens: countIn(usage.output_tokens) ?? before.completionTokens,
    cachedTokens,
    cacheWriteTokens,
  }
}
