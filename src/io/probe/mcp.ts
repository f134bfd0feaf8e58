import type { CheckResult } from '../../model/probe.ts'

/** Version we ask for; a server may answer with an older one, which is fine for what we ask. */
const mcpVersion = '2025-06-18'
/** A list of tools is small; what is larger is not read to its end, bytes. */
export const answerBytesMax = 1024 * 1024
const pagesMax = 20

/** A JSON-RPC message: ours, or one that nobody has looked at yet. */
export interface Message {
  readonly id?: unknown
  readonly method?: unknown
  readonly result?: unknown
  readonly error?: unknown
}

/** A conversation with an MCP server, over whatever carries it. */
export interface McpSession {
  /** The result, or what was wrong in words. */
  request(method: string, params: object): Promise<Record<string, unknown> | string>
  notify(method: string): Promise<void>
}

/** Introduces itself and looks for the tool. The tool is not called: what it does, and what that costs, we do not know. */
export async function askForTool(session: McpSession, tool: string | null): Promise<CheckResult> {
  const clientInfo = { name: 'prunella', version: '1' }
  const hello = await session.request('initialize', { protocolVersion: mcpVersion, capabilities: {}, clientInfo })
  if (typeof hello === 'string') return { ok: false, reason: `initialize: ${hello}` }
  await session.notify('notifications/initialized')
  let cursor: unknown
  for (let page = 0; page < pagesMax; page += 1) {
    const list = await session.request('tools/list', cursor === undefined ? {} : { cursor })
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

/** What an answer says: its result, or its error in words. */
export function resultOf({ result, error }: Message): Record<string, unknown> | string {
  if (typeof error === 'object' && error !== null) return 'message' in error ? String(error.message) : 'error'
  return typeof result === 'object' && result !== null ? { ...result } : 'no result'
}

/** Null: not ours, or not JSON. */
export function parseMessage(text: string): Message | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' ? value : null
  } catch {
    return null // The caller says that there was no answer.
  }
}
