import type { ProviderApi } from '../../model/provider.ts'
import {
  argsPrint,
  countIn,
  isObject,
  type Loose,
  objectsIn,
  parseJson,
  resultPrint,
  soundsLikeError,
  textIn,
  textLengthOf,
  tokensIn,
} from './json.ts'
import type { Endpoint, RequestFacts, ToolCall, ToolResult } from './types.ts'

const posts: Readonly<Record<ProviderApi, Readonly<Record<string, Endpoint>>>> = {
  openai: { '/chat/completions': 'chat', '/responses': 'responses', '/embeddings': 'embeddings' },
  anthropic: { '/messages': 'messages' },
}

/** @param path  After the provider's base address, with or without its version, and its query. */
export function endpointOf(api: ProviderApi, method: string, path: string): Endpoint {
  const [place = ''] = path.split('?')
  const bare = place.replace(/^\/v\d+(?=\/)/, '').replace(/\/+$/, '')
  if (method === 'GET') return /^\/models(\/|$)/.test(bare) ? 'models' : 'other'
  return method === 'POST' ? (posts[api][bare] ?? 'other') : 'other'
}

/**
 * Null: nobody here can read it, and the provider will say what it thinks of it.
 *
 * @param known  Tool calls of earlier answers: a conversation that the provider keeps is not repeated.
 */
export function readRequest(
  endpoint: Endpoint,
  body: Buffer,
  known: ReadonlyMap<string, ToolCall>,
): RequestFacts | null {
  if (endpoint === 'models' || endpoint === 'other') return null
  const request = parseJson(body.toString('utf8'))
  if (!isObject(request)) return null
  return {
    model: textIn(request.model),
    stream: request.stream === true,
    isDeterministic: endpoint === 'embeddings' || request.temperature === 0 || countIn(request.seed) !== null,
    promptTokens: tokensIn(textLengthOf(request)),
    maxTokens:
      countIn(request.max_completion_tokens) ?? countIn(request.max_tokens) ?? countIn(request.max_output_tokens),
    toolResults: resultsIn(endpoint, request, known),
  }
}

interface Given {
  readonly callId: string
  readonly content: unknown
  readonly isError: boolean
}

/** What the model asked for last, and what it is told came of it. */
function resultsIn(endpoint: Endpoint, request: Loose, known: ReadonlyMap<string, ToolCall>): readonly ToolResult[] {
  const asked = new Map<string, ToolCall>()
  const given: Given[] = []
  if (endpoint === 'chat') readChat(objectsIn(request.messages), asked, given)
  else if (endpoint === 'responses') readResponses(objectsIn(request.input), asked, given)
  else if (endpoint === 'messages') readMessages(objectsIn(request.messages), asked, given)
  return given.flatMap(({ callId, content, isError }) => {
    const call = asked.get(callId) ?? known.get(callId)
    const print = resultPrint(content)
    if (call === undefined || print === null) return []
    const ok = !isError && !soundsLikeError(content)
    return [{ callId, name: call.name, args: argsPrint(call.args), print, ok }]
  })
}

/** Backwards to the last answer of the model: what stands before was told with an earlier request. */
function readChat(messages: readonly Loose[], asked: Map<string, ToolCall>, given: Given[]): void {
  for (const message of messages.toReversed()) {
    if (message.role === 'tool')
      given.unshift({ callId: textIn(message.tool_call_id) ?? '', content: message.content, isError: false })
    if (message.role !== 'assistant') continue
    for (const call of chatCalls(message)) asked.set(call.callId, call)
    return
  }
}

export function chatCalls(message: Loose): readonly ToolCall[] {
  return objectsIn(message.tool_calls).flatMap((call) => {
    const part = isObject(call.function) ? call.function : isObject(call.custom) ? call.custom : {}
    const name = textIn(part.name)
    const args = textIn(part.arguments) ?? textIn(part.input) ?? ''
    return name === null ? [] : [{ callId: textIn(call.id) ?? '', name, args }]
  })
}

/** Items in a row: what the model said and what it was told lie side by side, results behind their calls. */
function readResponses(items: readonly Loose[], asked: Map<string, ToolCall>, given: Given[]): void {
  for (const item of items.toReversed()) {
    if (item.type === 'function_call_output' || item.type === 'custom_tool_call_output') {
      if (asked.size > 0) return
      given.unshift({ callId: textIn(item.call_id) ?? '', content: item.output, isError: false })
    } else if (item.type === 'function_call' || item.type === 'custom_tool_call') {
      const call = responsesCall(item)
      if (call !== null) asked.set(call.callId, call)
    } else if (asked.size > 0) return
  }
}

export function responsesCall(item: Loose): ToolCall | null {
  const name = textIn(item.name)
  if (name === null) return null
  return { callId: textIn(item.call_id) ?? '', name, args: textIn(item.arguments) ?? textIn(item.input) ?? '' }
}

function readMessages(messages: readonly Loose[], asked: Map<string, ToolCall>, given: Given[]): void {
  for (const { role, content } of messages.toReversed()) {
    const blocks = objectsIn(content)
    if (role === 'user') {
      const results = blocks.filter(({ type }) => type === 'tool_result')
      given.unshift(
        ...results.map((block) => ({
          callId: textIn(block.tool_use_id) ?? '',
          content: block.content,
          isError: block.is_error === true,
        })),
      )
    }
    if (role !== 'assistant') continue
    for (const call of blocks.flatMap(messagesCall)) asked.set(call.callId, call)
    return
  }
}

export function messagesCall(block: Loose): readonly ToolCall[] {
  const name = textIn(block.name)
  if (block.type !== 'tool_use' || name === null) return []
  return [{ callId: textIn(block.id) ?? '', name, args: JSON.stringify(block.input ?? {}) }]
}
