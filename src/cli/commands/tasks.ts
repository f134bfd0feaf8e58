import type { Tasks } from '../command.ts'
import { connect } from '../connect.ts'
import { exits } from '../errors.ts'
import type { Io } from '../io.ts'
import { table, toned } from '../table.ts'
import type { WireTask } from '../wire.ts'
import { plain, time, toJson } from '../words.ts'

export async function run(command: Tasks, io: Io): Promise<number> {
  const client = await connect(command, io)
  if (command.id !== undefined) {
    const task = await client.get<WireTask>(`/api/v1/tasks/${command.id}`)
    if (command.json) io.out(toJson(task))
    else showTask(task, io)
    return exits.done
  }
  const { pool, status, limit } = command
  const page = await client.get<{ readonly tasks: readonly WireTask[]; readonly cursor: string | null }>(
    '/api/v1/tasks',
    {
      pool,
      status,
      limit,
    },
  )
  if (command.json) io.out(toJson(page))
  else if (page.tasks.length === 0) io.out('No tasks.')
  else {
    const rows = page.tasks.map((task) => [
      task.id,
      task.pool,
      toned(task.status),
      task.attempts.length,
      time(task.submittedAt),
      endOf(task),
    ])
    for (const line of table(['TASK', 'POOL', 'STATUS', 'ATTEMPTS', 'SUBMITTED', 'WHY'], rows, io.color)) io.out(line)
    if (page.cursor !== null) io.out(`There are more: --limit is ${limit}.`)
  }
  return exits.done
}

function endOf({ error, reason }: WireTask): string {
  return error?.message ?? reason ?? '-'
}

function showTask(task: WireTask, io: Io): void {
  io.out(plain(`${task.id} of pool ${task.pool} is ${task.status}, submitted ${time(task.submittedAt)}`))
  if (endOf(task) !== '-') io.out(plain(`Why: ${endOf(task)}`))
  const { tokens, usd, calls } = task.spent
  if (calls > 0) io.out(`Spent: ${tokens} tokens, ${usd.toFixed(2)} USD, ${calls} model calls`)
  io.out(`Input: ${toJson(task.input)}`)
  if (task.output !== undefined) io.out(`Output: ${toJson(task.output)}`)
  if (task.attempts.length > 0) {
    io.out('')
    const rows = task.attempts.map((attempt) => [
      attempt.replica,
      attempt.incarnation,
      time(attempt.startedAt),
      time(attempt.endedAt),
      toned(attempt.outcome ?? 'running'),
    ])
    for (const line of table(['REPLICA', 'INCARNATION', 'STARTED', 'ENDED', 'OUTCOME'], rows, io.color)) io.out(line)
  }
  if (task.steps.length > 0) {
    io.out('')
    const rows = task.steps.map(({ name, key, state }) => [name, key, toned(state)])
    for (const line of table(['STEP', 'KEY', 'STATE'], rows, io.color)) io.out(line)
  }
}
