import type { Endpoint } from './wire/types.ts'

interface Item {
  readonly role?: unknown
  readonly content?: unknown
}

/**
 * The request with a hint of the supervisor at its end, where the model reads it
 * last. What cannot be understood stays as it is: a hint is never worth a call.
 */
export function withNotes(endpoint: Endpoint, body: Buffer, notes: readonly string[]): Buffer {
  const text = `[Note from the supervisor, not from the user]\n${notes.join('\n')}`
  const request: unknown = parsed(body)
  if (typeof request !== 'object' || request === null) return body
  const changed = changedRequest(endpoint, request as Record<string, unknown>, text)
  return changed === null ? body : Buffer.from(JSON.stringify(changed))
}

function changedRequest(
  endpoint: Endpoint,
  request: Record<string, unknown>,
  text: string,
): Record<string, unknown> | null {
  const { messages, input } = request
  switch (endpoint) {
    case 'chat':
      return Array.isArray(messages) ? { ...request, messages: [...messages, { role: 'user', content: text }] } : null
    case 'responses': {
      const items = typeof input === 'string' ? [{ role: 'user', content: input }] : input
      return Array.isArray(items) ? { ...request, input: [...items, { role: 'user', content: text }] } : null
    }
    case 'messages':
      return Array.isArray(messages) ? { ...request, messages: inLastUserTurn(messages, text) } : null
    default:
      return null
  }
}

/** Turns alternate there, and tool results must come first in theirs: the hint goes behind them. */
function inLastUserTurn(messages: readonly Item[], text: string): readonly Item[] {
  const last = messages.at(-1)
  const block = { type: 'text', text }
  if (last?.role !== 'user') return [...messages, { role: 'user', content: [block] }]
  const content = typeof last.content === 'string' ? [{ type: 'text', text: last.content }] : last.content
  return Array.isArray(content) ? [...messages.slice(0, -1), { ...last, content: [...content, block] }] : messages
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return null // The provider will say so.
  }
}
