import type { CheckResult, DependencyCheck } from '../../model/probe.ts'
import type { Launched, Launcher } from '../../port/launcher.ts'
import { answerBytesMax, askForTool, type McpSession, type Message, parseMessage, resultOf } from './mcp.ts'

type Check = Extract<DependencyCheck, { readonly kind: 'mcp_command' }>

/** JSON-RPC's own code for a method that we do not have. */
const methodNotFound = -32_601

/**
 * Checks MCP servers that are started by a command and spoken to over their
 * standard input and output.
 *
 * One process a check, ended after it. What replicas share is the command: its
 * program, its packages, its keys; each replica has a process of its own, of
 * which a process of ours that lives on would say nothing. A fresh start asks
 * the one question that decides: would a replica that starts its server anew get
 * a good one? It also costs no memory in between, and what it costs, a start every
 * period, is in the configuration's hand.
 */
export function createCommandCheck(
  launcher: Launcher,
): (name: string, check: Check, signal: AbortSignal) => Promise<CheckResult> {
  /** Ends that are still under way: a server that does not die is not started again, it would pile up. */
  const ending = new Map<string, Promise<void>>()
  return async (name, { command, environment, tool }, signal) => {
    await ending.get(name)
    signal.throwIfAborted()
    const talk = new Talk()
    const server = launcher.launch(
      { name, command, environment },
      { output: (chunk) => talk.hear(chunk), ended: (how) => talk.end(how) },
    )
    talk.begin(server)
    const giveUp = (): void => talk.end('the check was given up')
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      return await askForTool(talk, tool)
    } finally {
      signal.removeEventListener('abort', giveUp)
      const ended = server.end().finally(() => ending.get(name) === ended && ending.delete(name))
      ending.set(name, ended)
    }
  }
}

/** One JSON-RPC message a line. What is no such line is passed over: many servers chat on their standard output. */
class Talk implements McpSession {
  #server: Pick<Launched, 'write'> | null = null
  readonly #waiting = new Map<number, (answer: Record<string, unknown> | string) => void>()
  readonly #decoder = new TextDecoder()
  #line = ''
  #bytes = 0
  #lastId = 0
  #over: string | null = null

  begin(server: Pick<Launched, 'write'>): void {
    this.#server = server
  }

  request(method: string, params: object): Promise<Record<string, unknown> | string> {
    if (this.#over !== null) return Promise.resolve(this.#over)
    this.#lastId += 1
    const id = this.#lastId
    const { promise, resolve } = Promise.withResolvers<Record<string, unknown> | string>()
    this.#waiting.set(id, resolve)
    this.#send({ jsonrpc: '2.0', id, method, params })
    return promise
  }

  async notify(method: string): Promise<void> {
    this.#send({ jsonrpc: '2.0', method })
  }

  hear(chunk: Uint8Array): void {
    if (this.#over !== null) return
    this.#bytes += chunk.length
    if (this.#bytes > answerBytesMax) return this.end(`more than ${answerBytesMax} bytes on its standard output`)
    const lines = (this.#line + this.#decoder.decode(chunk, { stream: true })).split('\n')
    this.#line = lines.pop() ?? ''
    for (const line of lines) {
      const message = parseMessage(line)
      if (message !== null) this.#take(message)
    }
  }

  /** Nothing more is to be heard of it. */
  end(why: string): void {
    this.#over ??= why
    for (const resolve of this.#waiting.values()) resolve(why)
    this.#waiting.clear()
  }

  #take(message: Message): void {
    const { id, method } = message
    if (method === undefined) {
      if (typeof id !== 'number') return
      this.#waiting.get(id)?.(resultOf(message))
      this.#waiting.delete(id)
    } else if (typeof id === 'number' || typeof id === 'string') {
      // It asks us: `ping` is everybody's duty, and we said that we can do nothing else.
      const answer =
        method === 'ping' ? { result: {} } : { error: { code: methodNotFound, message: 'Prunella only checks' } }
      this.#send({ jsonrpc: '2.0', id, ...answer })
    }
  }

  #send(message: object): void {
    this.#server?.write(`${JSON.stringify(message)}\n`)
  }
}
