import type { CheckResult, DependencyCheck } from '../../model/probe.ts'

/** Version we ask for; a server may answer with an older one, which is fine for what we ask. */
const mcpVersion = '2025-06-18'
/** A list of tools is small; what is larger is not read to its end. */
const answerBytesMax = 1024 * 1024
const pagesMax = 20

type Check = Extract<DependencyCheck, { readonly kind: 'mcp' }>

interface Session {
  readonly url: string
  readonly headers: Record<string, string>
  readonly signal: AbortSignal
}

/** Speaks to an MCP server by streamable HTTP: initialises a session, lists its tools, ends the session. */
export async function checkMcp({ url, tool }: Check, signal: AbortSignal): Promise<CheckResult> {
  const session: Session = {
    url,
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    signal,
  }
  const clientInfo = { name: 'prunella', version: '1' }
  const hello = await request(session, 1, 'initialize', { protocolVersion: mcpVersion, capabilities: {}, clientInfo })
  if (typeof hello === 'string') return { ok: false, reason: `initialize: ${hello}` }
  if (typeof hello['protocolVersion'] === 'string') session.headers['mcp-protocol-version'] = hello['protocolVersion']
  try {
    await post(session, { jsonrpc: '2.0', method: 'notifications/initialized' })
    return await findTool(session, tool)
  } finally {
    // Best effort, without waiting: the server forgets an idle session anyway.
    if (session.headers['mcp-session-id'] !== undefined) {
      void fetch(url, { method: 'DELETE', headers: session.headers, signal }).then(
        (response) => response.body?.cancel(),
        () => undefined,
      )
    }
  }
}

async function findTool(session: Session, tool: string | null): Promise<CheckResult> {
  let cursor: unknown
  for (let page = 0; page < pagesMax; page += 1) {
    const list = await request(session, 2 + page, 'tools/list', cursor === undefined ? {} : { cursor })
    if (typeof list === 'string') return { ok: false, reason: `tools/list: ${list}` }
    const names = Array.isArray(list['tools'])
      ? list['tools'].map((entry: { readonly name?: unknown } | null) => entry?.name)
      : []
    if (tool === null || names.includes(tool)) return { ok: true }
    cursor = list['nextCursor']
    if (typeof cursor !== 'string') break
  }
  return { ok: false, reason: `the server has no tool "${tool}"` }
}

/** The result, or what was wrong. */
async function request(
  session: Session,
  id: number,
  method: string,
  params: object,
): Promise<Record<string, unknown> | string> {
  const response = await post(session, { jsonrpc: '2.0', id, method, params })
  if (!response.ok) return `HTTP ${response.status}`
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
  const answer = await readAnswer(response, id, isStream)
  if (answer === null) return 'no JSON-RPC answer'
  const { result, error } = answer
  if (typeof error === 'object' && error !== null) return 'message' in error ? String(error.message) : 'error'
  return typeof result === 'object' && result !== null ? { ...result } : 'no result'
}

async function post(session: Session, body: object): Promise<Response> {
  const { url, headers, signal } = session
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), signal, redirect: 'manual' })
  const sessionId = response.headers.get('mcp-session-id')
  if (sessionId !== null) headers['mcp-session-id'] = sessionId
  if (!('id' in body) || !response.ok) await response.body?.cancel()
  return response
}

/** Reads until the answer is there: an event stream may stay open after it. */
async function readAnswer(
  response: Response,
  id: number,
  isStream: boolean,
): Promise<{ readonly result?: unknown; readonly error?: unknown } | null> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > answerBytesMax) return null
    const found = isStream
      ? events(text)
          .map(parse)
          .find((message) => message?.id === id)
      : undefined
    if (found !== undefined && found !== null) return found
  }
  return isStream ? null : parse(text)
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

function parse(text: string): { readonly id?: unknown; readonly result?: unknown; readonly error?: unknown } | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' ? value : null
  } catch {
    return null // Not ours, or not JSON: the caller says that there was no answer.
  }
}
