import type { IncomingHttpHeaders } from 'node:http'
import type { ProviderSpec } from '../model/provider.ts'

/** Of one connection, never passed on (RFC 9110, 7.6.1). */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
])

/** Where clients put their key. */
const keyHeaders = ['authorization', 'x-api-key', 'api-key']

/**
 * A request's headers as they go on, in the order and spelling in which they
 * came. The provider's key takes the place of the replica's token; a key of the
 * agent's own goes on where the configuration has none. `accept-encoding` goes:
 * what comes back is read, and a compressed stream comes in lumps.
 */
export function toProvider(
  raw: readonly string[],
  { api, apiKey }: ProviderSpec,
  token: string,
  bodyLength: number | null,
): readonly string[] {
  const headers: string[] = []
  for (const [name, value] of pairs(raw, droppedFrom(raw))) {
    const lower = name.toLowerCase()
    if (lower === 'host' || lower === 'content-length' || lower === 'accept-encoding') continue
    if (lower.startsWith('x-prunella-')) continue
    if (keyHeaders.includes(lower) && (apiKey !== null || value.includes(token))) continue
    headers.push(name, value)
  }
  if (apiKey !== null)
    headers.push(...(api === 'anthropic' ? ['x-api-key', apiKey] : ['Authorization', `Bearer ${apiKey}`]))
  if (bodyLength !== null) headers.push('Content-Length', String(bodyLength))
  return headers
}

/** An answer's headers as they go back, in the order and spelling in which they came. */
export function toClient(raw: readonly string[]): string[] {
  return [...pairs(raw, droppedFrom(raw))].flat()
}

function* pairs(raw: readonly string[], dropped: ReadonlySet<string>): Generator<[string, string]> {
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? ''
    if (!dropped.has(name.toLowerCase())) yield [name, raw[at + 1] ?? '']
  }
}

/** Also what `Connection` itself names. */
function droppedFrom(raw: readonly string[]): ReadonlySet<string> {
  const named = [...pairs(raw, new Set())].flatMap(([name, value]) =>
    name.toLowerCase() === 'connection' ? value.split(',').map((one) => one.trim().toLowerCase()) : [],
  )
  return named.length === 0 ? hopByHop : new Set([...hopByHop, ...named])
}

/** The attempt that a call names, `TASK FENCE`; null when it names none. */
export function attemptNamed(headers: IncomingHttpHeaders): { readonly taskId: string; readonly fence: number } | null {
  const value = headers['x-prunella-attempt']
  if (typeof value !== 'string') return null
  const [taskId = '', fence = ''] = value.split(' ')
  return taskId !== '' && /^\d{1,15}$/.test(fence) ? { taskId, fence: Number(fence) } : null
}
