import type { Operate } from '../command.ts'
import { connect } from '../connect.ts'
import { exits } from '../errors.ts'
import type { Io } from '../io.ts'
import { plain, toJson } from '../words.ts'

const places = {
  restart: 'replicas',
  drain: 'replicas',
  quarantine: 'replicas',
  release: 'replicas',
  hold: 'pools',
  resume: 'pools',
  scale: 'pools',
  cancel: 'tasks',
  retry: 'tasks',
  resolve: 'tasks',
} as const

interface Answer {
  readonly text?: string
  readonly incident?: string | null
  readonly status?: string
}

export async function run(command: Operate, io: Io): Promise<number> {
  const { verb, target, body } = command
  const client = await connect(command, io)
  const answer = await client.post<Answer>(`/api/v1/${places[verb]}/${target}/${verb}`, body)
  if (command.json) io.out(toJson(answer))
  else {
    const text = answer.text ?? `${target} ${answer.status ?? 'done'}`
    io.out(plain(answer.incident ? `${text} (incident ${answer.incident})` : text))
  }
  return exits.done
}
