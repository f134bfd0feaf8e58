import { createServer } from 'node:http'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { z } from 'zod'

const books: Readonly<Record<string, string>> = {
  'The healing of prunella': 'The herb called self-heal grows back where it was cut.',
  'A history of restarts': 'Turning it off and on again has a long tradition, and few friends.',
}

/** An MCP server with two tools. */
export function createLibrary() {
  const server = new McpServer({ name: 'library', version: '1.0.0' })
  const say = (text: string) => ({ content: [{ type: 'text' as const, text }] })
  const search = server.registerTool(
    'search',
    { description: 'Titles that hold a word', inputSchema: { word: z.string() } },
    ({ word }) => say(Object.keys(books).find((title) => title.toLowerCase().includes(word.toLowerCase())) ?? ''),
  )
  const read = server.registerTool(
    'read',
    { description: 'The text of a book', inputSchema: { title: z.string() } },
    ({ title }) => say(books[title] ?? 'There is no such book.'),
  )
  return { server, tools: { search, read } }
}

/** `library.ts` serves over standard input and output, `library.ts 3001` over HTTP. */
if (process.argv[1] === import.meta.filename) {
  const port = process.argv[2]
  if (port === undefined) await createLibrary().server.connect(new StdioServerTransport())
  else {
    createServer(async (request, response) => {
      const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true })
      response.on('close', () => void transport.close())
      await createLibrary().server.connect(transport as Parameters<McpServer['connect']>[0])
      await transport.handleRequest(request, response)
    }).listen(Number(port), '127.0.0.1')
  }
}
