import type { Command as Commander } from 'commander'
import type { ReplicaName } from '../model/ids.ts'
import { limits } from '../model/limits.ts'
import type { Common, Operate } from './command.ts'
import { toJsonText, toName, toReason, toReplica, toWhole } from './values.ts'

type Take = (command: Operate) => void
type Add = (name: string, summary: string, examples: readonly string[]) => Commander
type Verb = Operate['verb']

interface Reasoned extends Common {
  readonly reason?: string
}

/** The operator's commands. Each becomes one request: a path, and a body with the reason. */
export function addActions(add: Add, take: Take): void {
  addReplicas(add, take)
  addPools(add, take)
  addTasks(add, take)
}

function operate(
  verb: Verb,
  target: string,
  { reason, json, config, url, token }: Reasoned,
  body: Operate['body'] = {},
): Operate {
  return {
    name: 'operate',
    verb,
    target,
    body: { ...body, ...(reason === undefined ? {} : { reason }) },
    json,
    ...(config === undefined ? {} : { config }),
    ...(url === undefined ? {} : { url }),
    ...(token === undefined ? {} : { token }),
  }
}

function withReason(command: Commander): Commander {
  return command.option('--reason <text>', 'why: stands in the ledger beside who', toReason)
}

function addReplicas(add: Add, take: Take): void {
  const simple: readonly (readonly [Verb, string, string])[] = [
    ['drain', 'let a replica finish its tasks, then replace its process', 'drain support/3 --reason "new credentials"'],
    ['quarantine', 'take a replica out of its pool for a person to look at', 'quarantine support/3'],
    ['release', 'bring a replica back from quarantine', 'release support/3 --reason "the key was renewed"'],
  ]
  withReason(add('restart', 'restart a replica', ['restart support/3', 'restart support/3 --soft']))
    .argument('<replica>', 'e.g. support/3', toReplica)
    .option('--soft', 'abort its tasks and clear its context; the process stays')
    .option('--hard', 'replace its process (default)')
    .action((target: ReplicaName, options: Reasoned & { soft?: true; hard?: true }, command: Commander) => {
      if (options.soft && options.hard) command.error('error: a restart is either --soft or --hard')
      take(operate('restart', target, options, { kind: options.soft ? 'soft' : 'hard' }))
    })
  for (const [verb, summary, example] of simple) {
    withReason(add(verb, summary, [example]))
      .argument('<replica>', 'e.g. support/3', toReplica)
      .action((target: ReplicaName, options: Reasoned) => take(operate(verb, target, options)))
  }
}

function addPools(add: Add, take: Take): void {
  withReason(add('hold', 'hand out no more tasks of a pool', ['hold support --reason "the provider changes its API"']))
    .argument('<pool>', 'its name', toName)
    .action((target: string, options: Reasoned) => take(operate('hold', target, options)))
  withReason(add('resume', 'end the hold of a pool', ['resume support', 'resume support --force']))
    .argument('<pool>', 'its name', toName)
    .option('--force', 'also when a dependency holds it: that is taken for mended, until calls fail again')
    .action((target: string, options: Reasoned & { force?: true }) =>
      take(operate('resume', target, options, options.force ? { force: true } : {})),
    )
  withReason(add('scale', 'set how many replicas a pool has', ['scale support 5']))
    .argument('<pool>', 'its name', toName)
    .argument('<replicas>', 'between its min and max', (text: string) => toWhole(text, 0, 1_000))
    .action((target: string, replicas: number, options: Reasoned) =>
      take(operate('scale', target, options, { replicas })),
    )
}

interface Resolve extends Reasoned {
  readonly result?: string
  readonly repeat?: true
  readonly fail?: string
}

function addTasks(add: Add, take: Take): void {
  withReason(add('cancel', 'cancel a task', ['cancel t_06fk2p']))
    .argument('<task>', 'its id', toName)
    .action((target: string, options: Reasoned) => take(operate('cancel', target, options)))
  withReason(
    add('retry', 'send a failed, cancelled or dead task again', [
      'retry t_06fk2p',
      `retry t_06fk2p --input '{"name":"Ada"}'`,
    ]),
  )
    .argument('<task>', 'its id', toName)
    .option('--input <json>', 'instead of its input', toJsonText)
    .action((target: string, options: Reasoned & { input?: string }) =>
      take(operate('retry', target, options, options.input === undefined ? {} : { input: JSON.parse(options.input) })),
    )
  withReason(
    add('resolve', 'answer the step that a held task waits for', [
      `resolve t_06fk2p --result '{"charged":true}'`,
      'resolve t_06fk2p --repeat',
      'resolve t_06fk2p --fail "the customer left"',
    ]),
  )
    .argument('<task>', 'its id', toName)
    .option('--result <json>', 'the step did happen: this is its result', toJsonText)
    .option('--repeat', 'it did not happen, or may happen again; a budget begins anew')
    .option('--fail <reason>', `the task fails, at most ${limits.noteLength} characters`, toReason)
    .action((target: string, options: Resolve, command: Commander) => {
      const { result, repeat, fail } = options
      if ([result, repeat, fail].filter((answer) => answer !== undefined).length !== 1 || (fail && options.reason))
        command.error('error: give one of --result, --repeat and --fail; --fail is its own reason')
      if (fail !== undefined) take(operate('resolve', target, { ...options, reason: fail }, { kind: 'fail' }))
      else
        take(
          operate(
            'resolve',
            target,
            options,
            result === undefined ? { kind: 'repeat' } : { kind: 'result', result: JSON.parse(result) },
          ),
        )
    })
}
