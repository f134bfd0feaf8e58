import { join } from 'node:path'
import { startNode } from '../../src/compose.ts'
import { resolveConfig } from '../../src/config/index.ts'
import { factsOf } from '../parts/calm.ts'

/** One life of a supervisor: `crash-node.ts FOLDER AGENT SINK`. Tasks come on stdin, one JSON batch a line; ids go to stdout once acknowledged. */
const [folder = '', agent = '', sink = ''] = process.argv.slice(2)
const pools = { effects: { agent, replicas: { min: 2, max: 2 }, environment: { set: { SINK_URL: sink } } } }
const config = resolveConfig(
  { pools },
  { root: folder, stateFolder: join(folder, '.prunella'), env: {}, fileExists: () => true },
)
const silent = {
  info: () => undefined,
  warn: () => undefined,
  error: (_facts: unknown, message: string) => console.error(message),
}
const node = await startNode(config, { token: null, log: silent })
process.stdout.write('started\n')
let rest = ''
for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
  const lines = (rest + chunk.toString()).split('\n')
  rest = lines.pop() ?? ''
  for (const line of lines) void answer(line)
}

async function answer(line: string): Promise<void> {
  const request = JSON.parse(line) as {
    readonly submit?: number
    readonly status?: readonly string[]
    readonly facts?: boolean
  }
  if (request.submit !== undefined) {
    const tasks = Array.from({ length: request.submit }, () => ({ input: { steps: 4 } }))
    const outcomes = await node.door.submit('effects', tasks)
    process.stdout.write(
      `ids ${JSON.stringify(outcomes.flatMap((outcome) => (outcome.kind === 'created' ? [outcome.id] : [])))}\n`,
    )
  }
  if (request.status !== undefined) {
    const tasks = await Promise.all(request.status.map((id) => node.door.task(id)))
    process.stdout.write(`status ${JSON.stringify(tasks.map((task) => task?.status ?? 'lost'))}\n`)
  }
  if (request.facts === true) process.stdout.write(`facts ${JSON.stringify(await factsOf(node.door))}\n`)
}
