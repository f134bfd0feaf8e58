import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What the demonstration's agents talk to: a scripted model provider, and the world that their effects change. */
export interface DemoWorld {
  readonly modelUrl: string
  readonly sinkUrl: string
  readonly sink: SinkCount
  close(): Promise<void>
}

export interface SinkCount {
  /** Keys in the order of acceptance: the proof is counted from this log, not kept beside it. */
  readonly accepted: string[]
  /** The same key again: a repetition that the sink noticed and refused. */
  repeated: number
  /** An older fence than one already seen for the task: a zombie, refused. */
  stale: number
}

const bodyBytes = 64 * 1024

export async function createDemoWorld(): Promise<DemoWorld> {
  const sink: SinkCount = { accepted: [], repeated: 0, stale: 0 }
  const fences = new Map<string, number>()
  const keys = new Set<string>()
  const server = createServer((request, response) => {
    void read(request).then((body) => {
      if (request.url?.endsWith('/chat/completions') === true) reply(response, completion(body))
      else reply(response, { accepted: accept(body as Effect, sink, fences, keys) })
    })
  })
  const url = await listen(server)
  return {
    modelUrl: `${url}/v1`,
    sinkUrl: `${url}/effects`,
    sink,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

interface Effect {
  readonly task: string
  readonly key: string
  readonly fence: number
}

/** The fencing rule: an effect counts once for its key, and never under a fence older than the newest seen. */
function accept(effect: Effect, sink: SinkCount, fences: Map<string, number>, keys: Set<string>): boolean {
  const newest = fences.get(effect.task) ?? 0
  if (effect.fence < newest) {
    sink.stale++
    return false
  }
  fences.set(effect.task, effect.fence)
  if (keys.has(effect.key)) {
    sink.repeated++
    return false
  }
  keys.add(effect.key)
  sink.accepted.push(effect.key)
  return true
}

/** A model that always has a plan of three tools. */
function completion(body: unknown): unknown {
  const question = JSON.stringify(body)
  const content = question.includes('refund')
    ? 'find-order check-policy refund'
    : 'search-docs draft-answer send-answer'
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    model: 'scripted',
    choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content } }],
    usage: { prompt_tokens: 20, completion_tokens: 3, total_tokens: 23 },
  }
}

async function read(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= bodyBytes) chunks.push(chunk)
  }
  return bytes > bodyBytes || bytes === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString('utf8'))
}

function reply(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

function listen(server: Server): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
  })
}
