import { fileURLToPath } from 'node:url'
import { type Context, defineAgent } from 'prunella/agent'
import { ToolServer } from './tool-server.ts'

/** Asks for the book with a word in its title, or for the text of one whose title is known. */
type Question = { readonly word: string } | { readonly title: string }

const where = process.env['LIBRARY'] ?? fileURLToPath(new URL('../servers/library.ts', import.meta.url))
const library = new ToolServer(where, Number(process.env['LIBRARY_CALL_MS'] ?? 10_000))

/**
 * Each tool is a dependency by its own name, so that Prunella knows whom a failed
 * call accuses: when the server loses `search`, what only reads goes on.
 */
function use(ctx: Context, tool: 'search' | 'read', args: Record<string, string>): Promise<string> {
  return ctx.tool(tool, args, ({ signal }) => library.call(tool, args, signal), { dependency: tool })
}

export default defineAgent<Question, { readonly text: string }>({
  run: async ({ input }, ctx) => {
    const title = 'title' in input ? input.title : await use(ctx, 'search', { word: input.word })
    return { text: await use(ctx, 'read', { title }) }
  },
})
