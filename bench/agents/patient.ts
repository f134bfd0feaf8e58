import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Context, defineAgent } from 'prunella/agent'

type Input =
  /** Twenty minutes of one kind of slow work; `minuteMs` says how long a minute is. */
  | { readonly do: 'step' | 'talk' | 'tools' | 'wait' | 'blocks'; readonly minuteMs: number }
  /** Short steps that use the processor. */
  | { readonly do: 'steps'; readonly steps: number }
  /** Asks a declared polling tool, once a second, which has the same answer every time but the last. */
  | { readonly do: 'poll'; readonly polls: number }
  /** One tool call for each item, side by side, after a model call that asked for all of them. */
  | { readonly do: 'batch'; readonly items: number }

const minutes = 20

/** An agent that is slow in every way that is not a fault. Its setup takes `SETUP_MS`, the first half of it without a turn of its loop. */
export default defineAgent<Input>({
  setup: async () => {
    const setupMs = Number(process.env['SETUP_MS'] ?? 0)
    if (setupMs === 0) return
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, setupMs / 2)
    await sleep(setupMs / 2)
    writeFileSync(join(process.env['SETUP_FOLDER'] ?? '', `${process.pid}`), '')
  },
  run: async ({ input }, ctx) => {
    if (input.do === 'steps') {
      for (let at = 0; at < input.steps; at++) await ctx.step(`step-${at}`, workAndRest)
      return null
    }
    if (input.do === 'poll') return poll(ctx, input.polls)
    if (input.do === 'batch') return batch(ctx, input.items)
    const endMs = performance.now() + minutes * input.minuteMs
    await slow[input.do](ctx, input.minuteMs, () => Math.max(0, endMs - performance.now()))
    return null
  },
})

/** Each stays just inside of the default deadlines: 10 minutes for a step and for saying nothing, 2 for a tool. */
const slow = {
  /** One step that is longer than its deadline, and says how it goes on. */
  step: (ctx: Context, minuteMs: number, leftMs: () => number) => ctx.step('long', () => talk(ctx, minuteMs, leftMs)),
  talk,
  tools: async (ctx: Context, minuteMs: number, leftMs: () => number) => {
    for (let call = 0; leftMs() > 0; call++) await ctx.tool('slow', { call }, () => sleep(1.8 * minuteMs))
  },
  wait: async (ctx: Context, minuteMs: number, leftMs: () => number) => {
    using _ = ctx.waiting('approval', 21 * minuteMs)
    await sleep(leftMs())
  },
  /** A loop that is blocked for 800 ms of each second. */
  blocks: async (ctx: Context, minuteMs: number, leftMs: () => number) => {
    for (let progressMs = performance.now(); leftMs() > 0; ) {
      work((0.8 * minuteMs) / 60)
      await sleep((0.2 * minuteMs) / 60)
      if (performance.now() - progressMs < 9 * minuteMs) continue
      progressMs = performance.now()
      ctx.progress('still at it')
    }
  },
}

async function talk(ctx: Context, minuteMs: number, leftMs: () => number): Promise<void> {
  while (leftMs() > 0) {
    await sleep(Math.min(9 * minuteMs, leftMs()))
    ctx.progress('still at it')
  }
}

/** Keeps the main thread for `forMs`. */
function work(forMs: number): void {
  const endMs = performance.now() + forMs
  while (performance.now() < endMs);
}

function workAndRest(): Promise<void> {
  work(5)
  return sleep(20)
}

async function poll(ctx: Context, polls: number): Promise<null> {
  for (let at = 1; at <= polls; at++) {
    const state = at < polls ? 'pending' : 'arrived'
    await ctx.tool('inbox', { folder: 'in' }, () => sleep(1_000).then(() => ({ state })), { poll: true })
  }
  return null
}

async function batch(ctx: Context, items: number): Promise<null> {
  for (let page = 0; page < 5; page++) {
    ctx.model({ model: 'm', promptTokens: 2_000, completionTokens: 200, windowTokens: 128_000, toolCalls: items })
    const read = (item: number) => () => workAndRest().then(() => ({ text: `what stands on ${page}.${item}` }))
    await Promise.all(Array.from({ length: items }, (_, item) => ctx.tool('read', { page, item }, read(item))))
  }
  return null
}
