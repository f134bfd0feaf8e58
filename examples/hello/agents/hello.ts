import { defineAgent } from 'prunella/agent'

interface Input {
  readonly name: string
}

/** Greets. The step is done once for a task, also when this process dies right after it. */
export default defineAgent<Input, { greeting: string }>({
  async run({ input }, ctx) {
    const greeting = await ctx.step('greet', () => `Hello, ${input.name}!`)
    ctx.progress('greeted')
    return { greeting }
  },
})
