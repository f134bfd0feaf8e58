import { isFinal } from '../../model/task.ts'
import type { Client } from '../client.ts'
import type { Submit } from '../command.ts'
import { connect } from '../connect.ts'
import { exits, UsageError } from '../errors.ts'
import type { Io } from '../io.ts'
import type { WireTask } from '../wire.ts'
import { plain, span, toJson } from '../words.ts'

/** What one request waits for; the next goes on waiting. */
const waitMs = 30_000

export async function run(command: Submit, io: Io): Promise<number> {
  const input = inputOf(command.input === '-' ? await io.readInput() : command.input)
  const client = await connect(command, io)
  const { priority, delayMs, deadlineMs, key } = command
  const submitted = await client.post<{ readonly id: string; readonly status: string }>(
    `/api/v1/pools/${command.pool}/tasks`,
    {
      input,
      ...(priority === undefined ? {} : { priority }),
      ...(delayMs === undefined ? {} : { delay: delayMs }),
      ...(deadlineMs === undefined ? {} : { deadline: deadlineMs }),
      ...(key === undefined ? {} : { idempotencyKey: key }),
    },
  )
  if (!command.wait) {
    io.out(command.json ? toJson(submitted) : `${submitted.id} ${submitted.status}`)
    return exits.done
  }
  const task = await wait(client, submitted.id, io)
  if (command.json) io.out(toJson(task))
  else if (task.status === 'done') io.out(toJson(task.output ?? null, 2))
  else io.err(plain(sayEnd(task)))
  return task.status === 'done' ? exits.done : exits.failed
}

function inputOf(text: string) {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UsageError('The input must be JSON.', { cause: error })
  }
}

/** Until the task is final, or held for a person. */
async function wait(client: Client, id: string, io: Io): Promise<WireTask> {
  const over = new AbortController()
  let status = 'submitted'
  const watching = showElapsed(io, over.signal, () => `${id} ${status}`)
  try {
    for (;;) {
      const task = await client.get<WireTask>(`/api/v1/tasks/${id}`, { wait: waitMs }, waitMs)
      if (isFinal(task.status) || task.status === 'held') return task
      if (io.progress === null && status !== task.status) io.err(`${id} ${task.status}`)
      status = task.status
    }
  } finally {
    over.abort()
    await watching
  }
}

async function showElapsed({ progress, eachSecond }: Io, signal: AbortSignal, what: () => string): Promise<void> {
  if (progress === null) return
  let seconds = 0
  for await (const _ of eachSecond(signal)) {
    seconds++
    progress(`${plain(what())} ${span(seconds * 1_000)}`)
  }
  progress(null)
}

function sayEnd({ id, status, error, reason }: WireTask): string {
  const why = error?.message ?? reason
  const next = status === 'held' ? ` Answer it with \`prunella resolve ${id}\`.` : ` See \`prunella why ${id}\`.`
  return `${id} is ${status.replace('_', ' ')}${why === undefined ? '' : `: ${why}`}.${next}`
}
