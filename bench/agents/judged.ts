import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { type Context, defineAgent } from 'prunella/agent'

interface Input {
  readonly steps: number
  readonly stepMs: number
  /** What this task does to whoever runs it. */
  readonly do?: keyof typeof deeds
}

const held: Buffer[] = []
const heap: number[][] = []
const never = (): Promise<never> => new Promise(() => undefined)

const tooLarge = { promptTokens: 20_000, windowTokens: 10_000, failure: 'context_overflow' } as const

/** The loop turns meanwhile, so that nobody takes it for one that hangs. */
async function fillHeap(): Promise<never> {
  for (;;) {
    heap.push(new Array(2 ** 20).fill(0.5))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Faults that a task carries with it. */
const deeds = {
  crash: () => process.exit(3),
  abort: () => process.abort(),
  memory: async () => {
    for (;;) {
      held.push(Buffer.alloc(4 * 2 ** 20, 1))
      await sleep(10)
    }
  },
  heap: fillHeap,
  spin: () => {
    for (;;);
  },
  garbage: () => {
    writeSync(3, 'this is no frame\n')
    return never()
  },
  stall: (ctx: Context) => ctx.tool('never', null, ({ signal }) => aborted(signal)),
  circles: async (ctx: Context) => {
    for (;;) {
      await ctx.tool('search', { query: 'invoice 4711' }, () => ['nothing found'])
      await sleep(20)
    }
  },
  overflow: ({ model, signal }: Context) => {
    model(tooLarge)
    return aborted(signal)
  },
  overflow_deaf: ({ model }: Context) => {
    model(tooLarge)
    return never()
  },
  reject: () => {
    throw new Error('this cannot be done')
  },
} satisfies Record<string, (ctx: Context) => unknown>

/**
 * Ordinary work: steps, and with a `PROVIDER` a call of it in each, under the name of a dependency if `DEPENDENCY` has
 * one. Setup asks `SETUP`, if there is one, whether it may succeed.
 */
export default defineAgent<Input, null>({
  setup: async ({ replica }) => {
    const url = process.env['SETUP']
    if (url === undefined) return
    const order = await (await fetch(`${url}/setup`, { headers: { 'x-replica': replica.name } })).text()
    if (order === 'exit') process.exit(4)
    if (order !== 'ok') throw new Error(`the index cannot be read: ${order}`)
  },
  run: async ({ input }, ctx) => {
    for (let at = 0; at < input.steps; at++) {
      await ctx.step(`step-${at}`, ({ signal }) => sleep(input.stepMs, null, { signal }))
      if (process.env['PROVIDER'] !== undefined) await ask(ctx, at)
      if (process.env['DATABASE'] !== undefined) await note(ctx, at)
      if (at === 0 && input.do !== undefined) await deeds[input.do](ctx)
    }
    return null
  },
})

async function ask(ctx: Context, at: number): Promise<void> {
  const dependency = process.env['DEPENDENCY']
  const headers = { 'x-replica': ctx.replica.name, 'x-incarnation': `${ctx.replica.incarnation}` }
  const call = async ({ signal }: { readonly signal: AbortSignal }): Promise<string> => {
    const response = await fetch(`${process.env['PROVIDER']}/messages`, { method: 'POST', headers, signal })
    const text = await response.text()
    if (!response.ok) throw new Error(`the provider answered HTTP ${response.status}: ${text}`)
    // The answer is here, and whoever waits for it is never told.
    return text === 'lose this' ? aborted(signal) : text
  }
  const uses = dependency === undefined ? {} : { dependency }
  const answer = await ctx.tool('ask', { task: ctx.idempotencyKey, at }, call, uses)
  if (answer === 'fill your heap') await fillHeap()
}

/** On a connection of its own, given up after a second. */
async function note(ctx: Context, at: number): Promise<void> {
  const patience = { connectionTimeoutMillis: 1_000, query_timeout: 1_000 }
  const call = async (): Promise<null> => {
    const client = new Client({ connectionString: process.env['DATABASE'], ...patience })
    client.on('error', () => undefined) // The query that is under way says so.
    await client.connect()
    await client.query('SELECT 1').finally(() => void client.end())
    return null
  }
  await ctx.tool('note', { task: ctx.idempotencyKey, at }, call, { dependency: 'database' })
}

/** Ends as a call should whose attempt is over. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}
