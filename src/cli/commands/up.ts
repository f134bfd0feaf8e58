import type { ResolvedConfig } from '../../model/config.ts'
import type { AttemptOutcome } from '../../model/task.ts'
import type { Up } from '../command.ts'
import { exits } from '../errors.ts'
import type { Io } from '../io.ts'
import { count, span, toJson } from '../words.ts'

/** What `up` needs of a running node. */
export interface RunningNode {
  readonly url: string | null
  readonly door: {
    subscribe(
      lastEventId: null,
      listener: (event: { readonly notice: { readonly kind: string; readonly outcome?: AttemptOutcome } }) => void,
    ): { readonly stop: () => void }
  }
  stop(): Promise<void>
  hurry(): void
  readonly finished: Promise<void>
}

/** What `up` does to the world beside speaking. */
export interface Starting {
  readonly loadConfig: (file?: string) => Promise<ResolvedConfig>
  readonly loadToken: (stateFolder: string) => Promise<string>
  readonly startNode: (
    config: ResolvedConfig,
    options: { readonly token: string; readonly chaos: boolean },
  ) => Promise<RunningNode>
}

const chaosWarning =
  'Started with --chaos: whoever has the token can break these replicas on purpose (`prunella chaos`). Never where real work is at stake.'

export async function run(command: Up, io: Io, { loadConfig, loadToken, startNode }: Starting): Promise<number> {
  const config = await loadConfig(command.config)
  const token = command.token ?? io.token ?? (await loadToken(config.stateFolder))
  const node = await startNode(config, { token, chaos: command.chaos })
  if (command.chaos) io.err(chaosWarning)
  const link = `${node.url}/#token=${token}`
  if (command.json) io.out(toJson({ url: node.url, link }))
  else {
    io.out(`Prunella is up with ${count(config.pools.length, 'pool')}: ${link}`)
    io.out('Ctrl-C lets running tasks finish, and stops.')
  }
  await untilStopped(node, config, command.json ? io.err : io.out, io)
  return exits.done
}

/** Drains at the first signal; the second one ends the drain. Rejects when the node itself failed. */
async function untilStopped(
  node: RunningNode,
  config: ResolvedConfig,
  say: (line: string) => void,
  io: Io,
): Promise<void> {
  const first = Promise.withResolvers<void>()
  let signals = 0
  const release = io.onStop(() => {
    signals++
    if (signals === 1) first.resolve()
    else {
      if (signals === 2) say('Handing back what still runs.')
      node.hurry()
    }
  })
  try {
    await Promise.race([first.promise, node.finished])
    const ended = { finished: 0, returned: 0 }
    const { stop } = node.door.subscribe(null, ({ notice }) => {
      if (notice.kind !== 'attempt_ended') return
      if (notice.outcome === 'returned') ended.returned++
      else ended.finished++
    })
    say(
      `Stopping: running tasks may finish, at most ${span(config.shutdownMs)}. Once more, and they are handed back now.`,
    )
    await node.stop()
    stop()
    say(`Stopped. ${count(ended.finished, 'task')} finished, ${ended.returned} handed back for the next start.`)
  } finally {
    release()
  }
}
