import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { ProviderSpec } from '../model/provider.ts'

/** An answer has begun, or what came instead. */
export type Reply =
  | { readonly kind: 'answer'; readonly message: IncomingMessage }
  | { readonly kind: 'failed'; readonly reason: string }

interface Outgoing {
  readonly method: string
  /** After the provider's base address, with its query. */
  readonly path: string
  readonly headers: readonly string[]
  readonly body: Uint8Array | null
}

/** Connections to one provider, kept open between calls. */
export class Upstream {
  readonly #base: URL
  readonly #agent: http.Agent
  readonly #request: typeof http.request

  constructor({ baseUrl }: ProviderSpec) {
    this.#base = new URL(baseUrl)
    const isSecure = this.#base.protocol === 'https:'
    const options = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: 256 } as const
    this.#agent = isSecure ? new https.Agent(options) : new http.Agent(options)
    this.#request = isSecure ? https.request : http.request
  }

  /**
   * Sends a call. Resolves when the head of its answer is there, or nothing will
   * come. A kept connection that the provider closed in the same moment is no
   * failure of the provider: the call goes again, on a new one.
   */
  async send(outgoing: Outgoing, signal: AbortSignal): Promise<Reply> {
    const first = await this.#sendOnce(outgoing, signal)
    return first.kind === 'stale' && !signal.aborted
      ? asReply(await this.#sendOnce(outgoing, signal, false))
      : asReply(first)
  }

  close(): void {
    this.#agent.destroy()
  }

  #sendOnce(
    { method, path, headers, body }: Outgoing,
    signal: AbortSignal,
    mayReuse = true,
  ): Promise<Reply | { readonly kind: 'stale'; readonly reason: string }> {
    const { promise, resolve } = Promise.withResolvers<Reply | { readonly kind: 'stale'; readonly reason: string }>()
    const { hostname, port, host, pathname } = this.#base
    const request = this.#request({
      method,
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port,
      path: joined(pathname, path),
      headers: ['Host', host, ...headers],
      agent: mayReuse ? this.#agent : false,
      signal,
    })
    request.on('response', (message) => resolve({ kind: 'answer', message }))
    // Stays for the life of the request: an abort after the answer has begun is an error, too, and is handled there.
    request.on('error', (error: NodeJS.ErrnoException) => {
      const isStale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
      resolve({ kind: isStale ? 'stale' : 'failed', reason: error.code ?? error.message })
    })
    if (body === null) request.end()
    else request.end(body)
    return promise
  }
}

function asReply(reply: Reply | { readonly kind: 'stale'; readonly reason: string }): Reply {
  return reply.kind === 'stale' ? { kind: 'failed', reason: reply.reason } : reply
}

/** Clients differ in whether the version is part of their base address; ours has it where the provider's has. */
function joined(base: string, path: string): string {
  const root = base.replace(/\/+$/, '')
  const version = root.slice(root.lastIndexOf('/'))
  return /^\/v\d+$/.test(version) && path.startsWith(`${version}/`) ? root + path.slice(version.length) : root + path
}
