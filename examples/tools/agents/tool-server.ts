import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ErrorCode, McpError } from '@modelcontextprotocol/sdk/types.js'
import { DependencyError } from 'prunella/agent'

type Transport = Parameters<Client['connect']>[0]

/** From one connection to the next, ms, so that a server that does not stay is not started without end. */
const betweenMs = 1_000

/**
 * A connection to an MCP server that mends itself: one that was lost, or has not
 * answered in time, is opened anew by the next call. A server over stdio is a
 * process of ours, and a fresh connection is a fresh process.
 */
export class ToolServer {
  readonly #where: string
  readonly #callMs: number
  #client: Promise<Client> | null = null
  #openedMs = Number.NEGATIVE_INFINITY

  /**
   * @param where   Its address, or the file of a server for stdio with its arguments.
   * @param callMs  How long a call may take.
   */
  constructor(where: string, callMs: number) {
    this.#where = where
    this.#callMs = callMs
  }

  /**
   * The text that the tool answers, also when it answers that something is wrong:
   * that is for the model to read. What is thrown is the server's fault. A call
   * that was lost on the way is made once more: only for tools that may be called twice.
   *
   * @throws DependencyError in the tool's name when the server has lost it.
   */
  async call(tool: string, args: Record<string, unknown>, signal: AbortSignal): Promise<string> {
    try {
      return await this.#callOnce(tool, args, signal)
    } catch (error) {
      if (signal.aborted || !isLost(error)) throw error
      return await this.#callOnce(tool, args, signal)
    }
  }

  async close(): Promise<void> {
    const client = this.#client
    this.#client = null
    await client?.then((open) => open.close()).catch(() => undefined)
  }

  async #callOnce(name: string, args: Record<string, unknown>, signal: AbortSignal): Promise<string> {
    this.#client ??= this.#open()
    const used = this.#client
    try {
      const client = await used
      const options = { timeout: this.#callMs, signal }
      const { content, isError } = await client.callTool({ name, arguments: args }, undefined, options)
      if (isError === true && !(await client.listTools({}, options)).tools.some((tool) => tool.name === name))
        throw new DependencyError(name, `The server has lost its tool ${name}.`)
      return (content as { readonly text?: string }[]).map(({ text = '' }) => text).join('')
    } catch (error) {
      // Its own call only: another one may have opened it anew meanwhile.
      if (isLost(error) && this.#client === used) void this.close()
      throw error
    }
  }

  async #open(): Promise<Client> {
    const waitMs = this.#openedMs + betweenMs - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    this.#openedMs = performance.now()
    const client = new Client({ name: 'librarian', version: '1.0.0' })
    const transport = /^https?:/.test(this.#where)
      ? new StreamableHTTPClientTransport(new URL(this.#where))
      : new StdioClientTransport({ command: process.execPath, args: this.#where.split(' ') })
    await client.connect(transport as Transport, { timeout: this.#callMs })
    return client
  }
}

/** The connection is broken or silent. Any other error is the server's answer. */
function isLost(error: unknown): boolean {
  if (error instanceof DependencyError) return false
  return !(error instanceof McpError) || [ErrorCode.ConnectionClosed, ErrorCode.RequestTimeout].includes(error.code)
}
