import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** How it meets a call. `limits` and `quota` leave its check alone. */
export type Mood = 'well' | 'hangs' | 'overloaded' | 'limits' | 'quota' | 'rejects_key'

const refusals: Readonly<Partial<Record<Mood, { status: number; body: string; checkToo: boolean }>>> = {
  overloaded: { status: 503, body: '{"error":"overloaded"}', checkToo: true },
  limits: { status: 429, body: '{"error":"rate_limit_exceeded"}', checkToo: false },
  quota: { status: 429, body: '{"error":"insufficient_quota"}', checkToo: false },
  rejects_key: { status: 401, body: '{"error":"invalid_api_key"}', checkToo: true },
}

/** A model provider with a list of models and calls that take a moment, which does as it is told. */
export class ScriptedProvider {
  mood: Mood = 'well'
  /** What a setup that asks is told, by replica. */
  setup: (replica: string) => string = () => 'ok'
  /** The one process (`REPLICA INCARNATION`) whose connections are cut, or that is told to fill its heap. */
  ill: { readonly process: string; readonly how: 'cut' | 'heap' } | null = null
  /** Calls of which nothing more is heard: the answer is withheld, or sent to an agent that loses it. */
  losesNext: 'answer' | 'agent' | null = null
  private server: Server | null = null
  private port = 0
  private readonly answerMs: number

  constructor(answerMs: number) {
    this.answerMs = answerMs
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Also again after `refuse`, at the same address. */
  listen(): Promise<void> {
    const server = createServer((request, response) => this.answer(request, response))
    this.server = server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.port, '127.0.0.1', () => {
        this.port = (server.address() as AddressInfo).port
        resolve()
      })
    })
  }

  /** Nobody listens any more: connections are refused. */
  refuse(): Promise<void> {
    const { server } = this
    this.server = null
    if (server === null) return Promise.resolve()
    return new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    request.resume()
    const { 'x-replica': replica = '', 'x-incarnation': incarnation } = request.headers
    if (request.url === '/setup') return void response.end(this.setup(String(replica)))
    const isCheck = request.method === 'GET'
    if (this.mood === 'hangs') return
    const ill = !isCheck && this.ill?.process === `${replica} ${incarnation}` ? this.ill.how : null
    if (ill === 'cut') return void request.socket.destroy()
    if (ill === 'heap') return void response.end('fill your heap')
    const refusal = refusals[this.mood]
    if (refusal !== undefined && (refusal.checkToo || !isCheck)) {
      const headers = refusal.status === 429 ? { 'retry-after': '2' } : {}
      return void response.writeHead(refusal.status, headers).end(refusal.body)
    }
    if (isCheck) return void response.end('{"data":[]}')
    const { losesNext } = this
    this.losesNext = null
    if (losesNext !== 'answer')
      setTimeout(() => response.end(losesNext === 'agent' ? 'lose this' : 'an answer'), this.answerMs)
  }
}
