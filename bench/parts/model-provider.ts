import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** How a provider can be out. `calls_fail`: its list of models answers, its completions do not. */
export type Outage = 'refuses' | 'unavailable' | 'hangs' | 'calls_fail'

export interface ModelCall {
  /** When it came, `performance.now()`. */
  readonly atMs: number
  readonly status: number | null
}

/**
 * A scripted model provider: every completion takes so long, and what comes
 * beyond the limit in any one second is answered 429.
 */
export class ModelProvider {
  /** Completions that were asked for, in order: by tasks, since nothing else asks for them. */
  readonly calls: ModelCall[] = []
  /** When a completion was answered. */
  readonly answeredMs: number[] = []
  /** When the list of models was asked for: by checks, since no task does. */
  readonly probesMs: number[] = []
  /** Refused for their rate. */
  limited = 0
  private readonly latencyMs: number
  private readonly limit: number
  private server: Server | null = null
  private port = 0
  private outage: Outage | null = null

  constructor(latencyMs: number, limit: number) {
    this.latencyMs = latencyMs
    this.limit = limit
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/v1`
  }

  async listen(): Promise<void> {
    const server = createServer((request, response) => this.answer(request, response))
    server.keepAliveTimeout = 60_000
    this.server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.port, '127.0.0.1', resolve)
    })
    this.port = (server.address() as AddressInfo).port
  }

  async fail(outage: Outage): Promise<void> {
    this.outage = outage
    if (outage === 'refuses') await this.close()
  }

  /** Answers again. Calls that were left hanging are cut off, as by a server that was started anew. */
  async mend(): Promise<void> {
    const was = this.outage
    this.outage = null
    if (was === 'hangs') this.server?.closeAllConnections()
    if (was === 'refuses') await this.listen()
  }

  async close(): Promise<void> {
    const { server } = this
    this.server = null
    if (server === null) return
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    request.resume()
    const atMs = performance.now()
    const isProbe = request.url === '/v1/models'
    const status = this.statusOf(isProbe, atMs)
    if (isProbe) this.probesMs.push(atMs)
    else this.calls.push({ atMs, status })
    if (status === null) return
    if (isProbe || status !== 200) return reply(response, status)
    setTimeout(() => {
      // What was under way when it went out is not answered either.
      const now = this.statusOf(false, null)
      if (now === null || response.destroyed) return
      if (now === 200) this.answeredMs.push(performance.now())
      reply(response, now)
    }, this.latencyMs)
  }

  /** `null`: no answer at all. */
  private statusOf(isProbe: boolean, atMs: number | null): number | null {
    if (this.outage === 'hangs') return null
    if (this.outage === 'unavailable' || (this.outage === 'calls_fail' && !isProbe)) return 503
    if (isProbe || atMs === null) return 200
    let inSecond = 0
    for (let at = this.calls.length - 1; at >= 0; at--) {
      const call = this.calls[at]
      if (call === undefined || atMs - call.atMs >= 1_000) break
      if (call.status === 200) inSecond += 1
    }
    if (inSecond < this.limit) return 200
    this.limited += 1
    return 429
  }
}

function reply(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(status === 200 ? { choices: [{ message: { content: 'Go on.' } }] } : { error: status }))
}
