import { setTimeout as sleep } from 'node:timers/promises'
import { defineAgent } from 'prunella/agent'

/** How it takes it that there is no answer; see `bench/outage.ts`. */
interface Task {
  readonly calls: number
  readonly how: 'gives_up' | 'retries' | 'waits'
}

const modelUrl = process.env['OPENAI_BASE_URL'] ?? ''
/** Of one try. Who waits has none: its fetch gives up after the five minutes of Node's own client. */
const timeoutMs = 4_000
const triesMs = { gives_up: [], retries: [500, 1_000], waits: Array.from({ length: 100 }, () => 10_000) } as const

/** Calls the model provider, each answer a step of its own. */
export default defineAgent<Task>({
  run: async ({ input: { calls, how } }, ctx) => {
    for (let at = 0; at < calls; at++)
      await ctx.step(`call-${at}`, ({ signal }) => patiently(how, signal), { dependency: 'llm', timeout: 60_000 })
    return null
  },
})

async function patiently(how: Task['how'], signal: AbortSignal): Promise<string> {
  for (const waitMs of triesMs[how]) {
    try {
      return await ask(how, signal)
    } catch (error) {
      if (signal.aborted) throw error
      await sleep(waitMs, undefined, { signal })
    }
  }
  return ask(how, signal)
}

async function ask(how: Task['how'], signal: AbortSignal): Promise<string> {
  const response = await fetch(`${modelUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'scripted', messages: [{ role: 'user', content: 'What next?' }] }),
    signal: how === 'waits' ? signal : AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${text}`)
  return text
}
