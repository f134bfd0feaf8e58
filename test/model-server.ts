import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Asked {
  readonly method: string
  readonly url: string
  readonly rawHeaders: readonly string[]
  readonly headers: IncomingMessage['headers']
  readonly body: string
  readonly atMs: number
}

type Answer = (response: ServerResponse, asked: Asked) => void

export interface ModelServer {
  /** With its version. */
  readonly url: string
  readonly asked: Asked[]
  /** Calls whose client has left before the end. */
  aborted: number
  /** How it answers from now on. */
  answer: Answer
  close(): Promise<void>
}

/** A model provider whose every byte a test decides. */
export async function startModelServer(answer: Answer): Promise<ModelServer> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    response.on('error', () => undefined)
    response.on('close', () => {
      if (!response.writableFinished) models.aborted += 1
    })
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const { method = '', url = '', rawHeaders, headers } = request
      const asked = { method, url, rawHeaders, headers, body: Buffer.concat(parts).toString(), atMs: Date.now() }
      models.asked.push(asked)
      models.answer(response, asked)
    })
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as AddressInfo
  const models: ModelServer = {
    url: `http://127.0.0.1:${port}/v1`,
    asked: [],
    aborted: 0,
    answer,
    async close() {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
  return models
}

export const json = (value: unknown, status = 200, headers: Record<string, string> = {}): Answer => {
  const body = Buffer.from(JSON.stringify(value))
  return (response) =>
    void response
      .writeHead(status, { 'content-type': 'application/json', 'content-length': body.length, ...headers })
      .end(body)
}

/** Server-sent events, one write each; ends unless told otherwise. */
export const events = (lines: readonly string[], end: 'end' | 'hang' | 'cut' = 'end'): Answer => {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': 'req_1' })
    for (const line of lines) response.write(line)
    if (end === 'end') response.end()
    else if (end === 'cut') setImmediate(() => response.destroy())
  }
}

const chunk = (delta: unknown, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
const named = (type: string, more: object = {}) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
const args = '{"city":"Bern"}'
const usage = { prompt_tokens: 12, completion_tokens: 7, total_tokens: 19 }

/** An answer with text and a tool call in each wire format, whole and in pieces. */
export const samples = {
  chat: {
    path: '/chat/completions',
    whole: {
      ...{ id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: 'gpt-4o', usage },
      choices: [
        {
          index: 0,
          finish_reason: 'tool_calls',
          message: {
            role: 'assistant',
            content: 'Let me see',
            tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: args } }],
          },
        },
      ],
    },
    events: [
      ': keep-alive\n\n',
      chunk({ role: 'assistant', content: 'Let me' }),
      chunk({ content: ' see' }),
      chunk({
        tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } }],
      }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: args.slice(0, 7) } }] }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: args.slice(7) } }] }),
      chunk({}, 'tool_calls'),
      `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o', choices: [], usage })}\n\n`,
      'data: [DONE]\n\n',
    ],
  },
  responses: {
    path: '/responses',
    whole: {
      ...{ id: 'resp_1', object: 'response', created_at: 1, model: 'gpt-4o', status: 'completed' },
      output: [
        {
          type: 'message',
          id: 'm',
          role: 'assistant',
          content: [{ type: 'output_text', text: 'Let me see', annotations: [] }],
        },
        { type: 'function_call', id: 'f', call_id: 'call_1', name: 'weather', arguments: args, status: 'completed' },
      ],
      usage: { input_tokens: 12, output_tokens: 7, total_tokens: 19 },
    },
    events: [
      named('response.created', {
        response: { id: 'resp_1', object: 'response', model: 'gpt-4o', status: 'in_progress', output: [] },
      }),
      named('response.output_item.added', {
        output_index: 0,
        item: { type: 'message', id: 'm', role: 'assistant', content: [] },
      }),
      named('response.content_part.added', {
        item_id: 'm',
        output_index: 0,
        content_index: 0,
        part: { type: 'output_text', text: '', annotations: [] },
      }),
      named('response.output_text.delta', { item_id: 'm', output_index: 0, content_index: 0, delta: 'Let me see' }),
      named('response.output_item.added', {
        output_index: 1,
        item: { type: 'function_call', id: 'f', call_id: 'call_1', name: 'weather', arguments: '' },
      }),
      named('response.function_call_arguments.delta', { item_id: 'f', output_index: 1, delta: args }),
      named('response.output_item.done', {
        output_index: 1,
        item: {
          type: 'function_call',
          id: 'f',
          call_id: 'call_1',
          name: 'weather',
          arguments: args,
          status: 'completed',
        },
      }),
      named('response.completed', {
        response: {
          id: 'resp_1',
          object: 'response',
          model: 'gpt-4o',
          status: 'completed',
          output: [],
          usage: { input_tokens: 12, output_tokens: 7, total_tokens: 19 },
        },
      }),
    ],
  },
  messages: {
    path: '/messages',
    whole: {
      ...{
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        model: 'claude-sonnet-4-5',
        stop_reason: 'tool_use',
        stop_sequence: null,
      },
      content: [
        { type: 'text', text: 'Let me see' },
        { type: 'tool_use', id: 'call_1', name: 'weather', input: JSON.parse(args) },
      ],
      usage: { input_tokens: 10, output_tokens: 7, cache_read_input_tokens: 2, cache_creation_input_tokens: 0 },
    },
    events: [
      named('message_start', {
        message: {
          id: 'msg_1',
          type: 'message',
          role: 'assistant',
          model: 'claude-sonnet-4-5',
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: { input_tokens: 10, cache_read_input_tokens: 2, output_tokens: 1 },
        },
      }),
      named('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
      named('ping'),
      named('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'Let me see' } }),
      named('content_block_stop', { index: 0 }),
      named('content_block_start', {
        index: 1,
        content_block: { type: 'tool_use', id: 'call_1', name: 'weather', input: {} },
      }),
      named('content_block_delta', { index: 1, delta: { type: 'input_json_delta', partial_json: args.slice(0, 7) } }),
      named('content_block_delta', { index: 1, delta: { type: 'input_json_delta', partial_json: args.slice(7) } }),
      named('content_block_stop', { index: 1 }),
      named('message_delta', { delta: { stop_reason: 'tool_use', stop_sequence: null }, usage: { output_tokens: 7 } }),
      named('message_stop'),
    ],
  },
} as const
export type Format = keyof typeof samples
