import { setTimeout as sleep } from 'node:timers/promises'
import { defineAgent } from 'prunella/agent'

const sink = process.env['SINK_URL'] ?? ''
/** Read once: an orphan has another parent. */
const supervisor = process.ppid

/** Posts one effect a step, under its key and fence, with the process that posted it. */
export default defineAgent<{ steps: number }>({
  run: async (task, ctx) => {
    for (let at = 0; at < task.input.steps; at++) {
      await ctx.step(`step-${at}`, async ({ idempotencyKey }) => {
        await sleep(15)
        const body = { task: task.id, key: idempotencyKey, fence: ctx.fence, supervisor }
        const response = await fetch(sink, { method: 'POST', body: JSON.stringify(body) })
        await response.arrayBuffer()
        return at
      })
    }
    return null
  },
})
