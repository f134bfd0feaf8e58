import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineAgent } from 'prunella/agent'

/** Writes a line with the wall time as each new step begins, so that a benchmark sees steps from outside. */
export default defineAgent<{ steps: number; stepMs: number; spinAt?: number; file: string }>({
  run: async (task, ctx) => {
    for (let at = 0; at < task.input.steps; at++) {
      await ctx.step(`step-${at}`, async () => {
        appendFileSync(
          task.input.file,
          `${JSON.stringify({ at, attempt: task.attempt, replica: ctx.replica, atMs: performance.timeOrigin + performance.now() })}\n`,
        )
        if (at === task.input.spinAt && task.attempt === 1) for (;;);
        await sleep(task.input.stepMs)
        return at
      })
    }
    return null
  },
})
