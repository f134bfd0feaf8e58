import type { Logs, Why } from '../command.ts'
import { connect } from '../connect.ts'
import { exits } from '../errors.ts'
import type { Io } from '../io.ts'
import { plain, time, toJson } from '../words.ts'

export async function runWhy(command: Why, io: Io): Promise<number> {
  const client = await connect(command, io)
  const answer = await client.get<{ readonly text: string }>(`/api/v1/why/${command.subject ?? 'last'}`)
  io.out(command.json ? toJson(answer) : plain(answer.text))
  return exits.done
}

interface LogAnswer {
  readonly lines: readonly { readonly at: string; readonly stream: string; readonly text: string }[]
}

export async function runLogs(command: Logs, io: Io): Promise<number> {
  const client = await connect(command, io)
  const { lines } = await client.get<LogAnswer>(`/api/v1/replicas/${command.replica}/logs`)
  for (const line of lines) {
    io.out(command.json ? toJson(line) : `${time(line.at)} ${line.stream.padEnd(6)} ${plain(line.text)}`)
  }
  if (lines.length === 0) io.err(`${command.replica} has written nothing that is kept.`)
  return exits.done
}
