import { type Context, defineAgent, type Json } from 'prunella/agent'

/** A support case; `hurt` makes the demonstration's real faults. */
interface Case {
  readonly question: string
  readonly hurt?: 'loop' | 'hang' | 'crash'
}

const modelUrl = process.env['OPENAI_BASE_URL'] ?? ''
const sinkUrl = process.env['SINK_URL'] ?? ''

/** Plans with a model, then carries the plan out with tools; every effect is posted under its key and fence. */
export default defineAgent<Case, { answer: string; steps: number }>({
  run: async (task, ctx) => {
    const plan = await ctx.step('plan', () => askModel(`Plan for: ${task.input.question}`))
    const tools = plan.split(' ')
    let answer = ''
    for (const [at, tool] of tools.entries()) {
      if (at === 1) await hurt(task.input.hurt, task.attempt, ctx)
      answer = await ctx.step(tool, ({ idempotencyKey }) => act(tool, idempotencyKey, ctx))
    }
    return { answer, steps: tools.length + 1 }
  },
})

async function askModel(content: string): Promise<string> {
  const response = await fetch(`${modelUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'scripted', messages: [{ role: 'user', content }] }),
  })
  const body = (await response.json()) as { choices: { message: { content: string } }[] }
  return body.choices[0]?.message.content ?? ''
}

async function act(tool: string, key: string, ctx: Context): Promise<string> {
  await new Promise((resolve) => setTimeout(resolve, 40))
  await post({ task: ctx.idempotencyKey, key, fence: ctx.fence, tool })
  return `${tool} done`
}

async function post(effect: Json): Promise<void> {
  const response = await fetch(sinkUrl, { method: 'POST', body: JSON.stringify(effect) })
  await response.arrayBuffer()
}

async function hurt(kind: Case['hurt'], attempt: number, ctx: Context): Promise<void> {
  // A task that crashes whoever runs it: every attempt.
  if (kind === 'crash') process.abort()
  if (attempt > 1) return
  if (kind === 'loop') for (;;);
  if (kind === 'hang')
    await ctx.tool('search', { q: 'the tool that never answers' }, () => new Promise<never>(() => undefined))
}
