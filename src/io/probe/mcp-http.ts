import type { CheckResult, DependencyCheck } from '../../model/probe.ts'
import { answerBytesMax, askForTool, type McpSession, type Message, parseMessage, resultOf } from './mcp.ts'

type Check = Extract<DependencyCheck, { readonly kind: 'mcp' }>

/** Speaks to an MCP server by streamable HTTP, in a session of its own that it ends. */
export async function checkMcp({ url, headers, tool }: Check, signal: AbortSignal): Promise<CheckResult> {
  const session = new HttpSession(url, headers, signal)
  try {
    return await askForTool(session, tool)
  } finally {
    session.end()
  }
}

class HttpSession implements McpSession {
  readonly #url: string
  readonly #headers: Record<string, string>
  readonly #signal: AbortSignal
  #lastId = 0

  constructor(url: string, headers: Readonly<Record<string, string>>, signal: AbortSignal) {
    this.#url = url
    this.#headers = {
      ...headers,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    }
    this.#signal = signal
  }

  async request(method: string, params: object): Promise<Record<string, unknown> | string> {
    this.#lastId += 1
    const response = await this.#post({ jsonrpc: '2.0', id: this.#lastId, method, params })
    if (!response.ok) return `HTTP ${response.status}`
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
    const answer = await readAnswer(response, this.#lastId, isStream)
    if (answer === null) return 'no JSON-RPC answer'
    const result = resultOf(answer)
    if (method === 'initialize' && typeof result === 'object' && typeof result['protocolVersion'] === 'string')
      this.#headers['mcp-protocol-version'] = result['protocolVersion']
    return result
  }

  async notify(method: string): Promise<void> {
    await this.#post({ jsonrpc: '2.0', method })
  }

  /** Best effort, without waiting: the server forgets an idle session anyway. */
  end(): void {
    if (this.#headers['mcp-session-id'] === undefined) return
    void fetch(this.#url, { method: 'DELETE', headers: this.#headers, signal: this.#signal }).then(
      (response) => response.body?.cancel(),
      () => undefined,
    )
  }

  async #post(body: object): Promise<Response> {
    const response = await fetch(this.#url, {
      ...{ method: 'POST', headers: this.#headers, body: JSON.stringify(body) },
      ...{ signal: this.#signal, redirect: 'manual' },
    })
    const sessionId = response.headers.get('mcp-session-id')
    if (sessionId !== null) this.#headers['mcp-session-id'] = sessionId
    if (!('id' in body) || !response.ok) await response.body?.cancel()
    return response
  }
}

/** Reads until the answer is there: an event stream may stay open after it. */
async function readAnswer(response: Response, id: number, isStream: boolean): Promise<Message | null> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > answerBytesMax) return null
    const found = isStream
      ? events(text)
          .map(parseMessage)
          .find((message) => message?.id === id)
      : undefined
    if (found !== undefined && found !== null) return found
  }
  return isStream ? null : parseMessage(text)
}

/** The data of each complete event. */
function events(text: string): readonly string[] {
  return text
    .split(/\r?\n\r?\n/)
    .slice(0, -1)
    .map((event) =>
      event
        .split(/\r?\n/)
        .flatMap((line) => (line.startsWith('data:') ? [line.slice(5).trimStart()] : []))
        .join('\n'),
    )
}
