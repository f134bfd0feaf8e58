import { DependencyError } from '../model/errors.ts'
import type { SupervisorFrame } from '../protocol/frames.ts'
import { nowMs } from './clock.ts'
import type { Context } from './definition.ts'

/** What an attempt does instead of its work; `work` is the agent's own `run`. */
type Deed = (ctx: Context, order: Order, work: () => unknown) => unknown
type Order = Extract<SupervisorFrame, { readonly type: 'misbehave' }>

const mebibyte = 2 ** 20
/** Fast enough to be over soon, slow enough for a detector to see each step. */
const paceMs = 20
const windowTokens = 100_000
/** More open files than this would hurt the machine, not the process. */
const filesMax = 200_000
/** What is leaked must stay. */
const leaked: unknown[] = []

/** By the names of `model/chaos.ts`. None heeds a nudge: that is what the rungs above it are for. */
export const deeds: ReadonlyMap<string, Deed> = new Map<string, Deed>([
  [
    'throw',
    () => {
      setImmediate(() => {
        throw new Error('chaos: an error that nobody catches')
      })
      return never()
    },
  ],
  ['exit', () => process.exit(0)],
  ['poison', () => process.exit(1)],
  [
    'reject',
    () => {
      throw new Error('chaos: run() rejects')
    },
  ],
  [
    'garbage',
    () => {
      process.getBuiltinModule('node:fs').writeSync(3, 'chaos: this is no frame\n')
      return never()
    },
  ],
  ['spin', () => spinForever()],
  [
    'slow-loop',
    async (_, { forMs }, work) => {
      for (const endMs = nowMs() + forMs; nowMs() < endMs; ) {
        block(800)
        await pause(200)
      }
      return work()
    },
  ],
  ['hang', (ctx, { forMs }) => ctx.tool('chaos', {}, ({ signal }) => aborted(signal), { timeout: forMs })],
  ['deaf', (ctx, { forMs }) => ctx.tool('chaos', {}, never, { timeout: forMs })],
  ['tool-loop', (ctx) => forever(() => ctx.tool('chaos', { query: 'the same' }, () => ['nothing found']))],
  ['tool-cycle', (ctx) => forever((at) => ctx.tool(`chaos-${at % 2}`, {}, () => 'the same again'))],
  ['same-error', (ctx) => forever((at) => ctx.tool('chaos', { page: at * 7 }, refused).catch(ignoreRefusal))],
  ['talk', (ctx) => forever((at) => ctx.model({ text: `Let me think about it in way ${at}.`, toolCalls: 0 }))],
  ['monologue', (ctx) => forever(() => ctx.model({ text: 'I will begin now.', toolCalls: 0 }))],
  [
    'context',
    (ctx) =>
      forever((at) =>
        ctx.model({ promptTokens: Math.min(99, 30 + 5 * at) * (windowTokens / 100), windowTokens, toolCalls: 1 }),
      ),
  ],
  ['memory', () => forever(() => void leaked.push(Buffer.alloc(4 * mebibyte, 1)))],
  [
    'leak',
    (_, { memoryBytes }, work) => {
      // Over ten seconds and more: a slope, and still below the limit. Then it stays.
      const leak = setInterval(() => {
        if (process.memoryUsage.rss() < 0.85 * memoryBytes) leaked.push(Buffer.alloc(Math.round(memoryBytes / 40), 1))
        else clearInterval(leak)
      }, 500)
      return work()
    },
  ],
  [
    'files',
    (_, __, work) => {
      const { openSync, readFileSync } = process.getBuiltinModule('node:fs')
      const limit = Number(/Max open files +(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? filesMax)
      if (limit > filesMax) throw new Error(`chaos: ${limit} files may be open here, too many to try: lower the limit`)
      while (leaked.length < 0.85 * limit) leaked.push(openSync('/dev/null', 'r'))
      return work()
    },
  ],
])

/**
 * What makes this process misbehave on request. Only a host that was started by
 * a node with `--chaos` has one: elsewhere the frames are dropped.
 */
export class Misbehaviour {
  readonly #orders = new Map<string, Order>()
  readonly #outagesMs = new Map<string, number>()

  order(order: Order): void {
    this.#orders.set(`${order.task} ${order.fence}`, order)
  }

  outage(dependency: string, forMs: number): void {
    this.#outagesMs.set(dependency, nowMs() + forMs)
  }

  /** What this attempt does instead of its work, once; undefined: its work. */
  take(key: string): ((ctx: Context, work: () => unknown) => unknown) | undefined {
    const order = this.#orders.get(key)
    this.#orders.delete(key)
    const deed = order === undefined ? undefined : deeds.get(order.fault)
    return order === undefined || deed === undefined ? undefined : (ctx, work) => deed(ctx, order, work)
  }

  /** @throws DependencyError while calls that use it are to fail. */
  refuse(dependency: string | undefined): void {
    if (dependency === undefined || nowMs() >= (this.#outagesMs.get(dependency) ?? 0)) return
    throw new DependencyError(dependency, 'chaos: it does not answer')
  }
}

function never(): Promise<never> {
  return new Promise(() => undefined)
}

/** Ends as a call should whose attempt is over. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function block(ms: number): void {
  for (const endMs = nowMs() + ms; nowMs() < endMs; );
}

/** The stack of a blocked process names it. */
function spinForever(): never {
  for (;;);
}

/** Until the attempt is over: then what it calls throws. */
async function forever(step: (at: number) => unknown): Promise<never> {
  for (let at = 0; ; at += 1) {
    await step(at)
    await pause(paceMs)
  }
}

function refused(): never {
  throw new Error('chaos: no permission')
}

function ignoreRefusal(error: Error): void {
  if (error.message !== 'chaos: no permission') throw error
}
