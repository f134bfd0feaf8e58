import { Argument, Command as Commander, CommanderError, Option } from 'commander'
import { type ChaosFault, chaosFaults } from '../model/chaos.ts'
import type { ReplicaName } from '../model/ids.ts'
import { limits } from '../model/limits.ts'
import { addActions } from './actions.ts'
import type { Command, Common } from './command.ts'
import { exits } from './errors.ts'
import {
  toDuration,
  toInput,
  toJsonText,
  toLimit,
  toName,
  toPort,
  toPriority,
  toReason,
  toReplica,
  toSubject,
} from './values.ts'

/** A command, or what to say instead: help, the version, what is wrong with the line. */
export type Parsed =
  | { readonly kind: 'command'; readonly command: Command }
  | { readonly kind: 'exit'; readonly code: number; readonly out: string; readonly err: string }

/** Turns arguments into one typed command. Touches nothing. */
export function parse(argv: readonly string[], version: string): Parsed {
  const taken: Command[] = []
  const out: string[] = []
  const err: string[] = []
  const program = new Commander('prunella')
    .description('A self-healing runtime for AI agents.')
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: (text) => void out.push(text), writeErr: (text) => void err.push(text) })
    .addHelpText('after', '\nExit codes: 0 done, 1 failed, 2 usage, 78 configuration.')
  const add = adder(program)
  const take = (command: Command): void => void taken.push(command)
  addNode(add, take)
  addSubmit(add, take)
  addLists(add, take)
  addQuestions(add, take)
  addReplay(add, take)
  addChaos(add, take)
  addActions(add, take)
  const said = () => ({ out: out.join(''), err: err.join('') })
  try {
    program.parse([...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return { kind: 'exit', code: error.exitCode === 0 ? exits.done : exits.usage, ...said() }
  }
  const [command] = taken
  return command === undefined ? { kind: 'exit', code: exits.usage, ...said() } : { kind: 'command', command }
}

type Take = (command: Command) => void
/** Makes a subcommand with the options that every one has. */
type Add = (name: string, summary: string, examples: readonly string[]) => Commander

function adder(program: Commander): Add {
  return (name, summary, examples) =>
    program
      .command(name)
      .description(summary)
      .option('--json', 'print JSON on standard output, and nothing else there', false)
      .option('--config <file>', 'instead of the prunella.config.* of this folder')
      .option('--url <url>', 'of the node; default: 127.0.0.1 and the port of the configuration, else 8080')
      .option('--token <token>', 'default: PRUNELLA_TOKEN, else .prunella/token beside the configuration')
      .addHelpText('after', `\nExamples:\n${examples.map((example) => `  prunella ${example}`).join('\n')}`)
}

function addNode(add: Add, take: Take): void {
  add('init', 'write a configuration and a first agent here', ['init', 'init --python', 'init --command'])
    .addOption(new Option('--python', 'an agent in Python').conflicts('command'))
    .option('--command', 'a command that speaks no protocol: input on standard input, result on standard output')
    .action(({ python, command, ...common }: Common & { python?: true; command?: true }) =>
      take({ ...common, name: 'init', agent: python ? 'python' : command ? 'command' : 'typescript' }),
    )
  add('up', 'start the pools, the API and the page', ['up', 'up --config other.config.ts'])
    .option('--chaos', 'let `prunella chaos` hurt what runs here, for real', false)
    .action((options: Common & { chaos: boolean }) => take({ ...options, name: 'up' }))
  add('demo', 'run a pool, hurt it in five ways, and watch it heal', ['demo', 'demo --once'])
    .option('--once', 'end when it has healed', false)
    .option('--port <port>', 'of the page and the API', toPort, 8080)
    .action((options: Common & { once: boolean; port: number }) => take({ ...options, name: 'demo' }))
}

interface SubmitOptions extends Common {
  readonly wait: boolean
  readonly priority?: number
  readonly delay?: number
  readonly deadline?: number
  readonly key?: string
}

function addSubmit(add: Add, take: Take): void {
  add('submit', 'give a pool a task', [
    `submit hello '{"name":"Ada"}' --wait`,
    `submit hello '{"name":"Ada"}' --delay 10m --deadline 1h --key order-17`,
    'submit hello - < input.json',
  ])
    .argument('<pool>', 'its pool', toName)
    .argument('<input>', 'JSON, or - to read it from standard input', toInput)
    .option('--wait', 'until it is done, and print its result', false)
    .option('--priority <number>', '-1000 to 1000, higher first', toPriority)
    .option('--delay <duration>', 'not before, e.g. 10m', toDuration)
    .option('--deadline <duration>', 'fails when it is not done by then, e.g. 1h', toDuration)
    .option('--key <key>', 'the same key in the same pool is the same task')
    .action((pool: string, input: string, { delay, deadline, ...rest }: SubmitOptions) =>
      take({
        ...rest,
        name: 'submit',
        pool,
        input,
        ...(delay === undefined ? {} : { delayMs: delay }),
        ...(deadline === undefined ? {} : { deadlineMs: deadline }),
      }),
    )
}

function addLists(add: Add, take: Take): void {
  add('status', 'pools, dependencies and open incidents', ['status', 'status --json']).action((common: Common) =>
    take({ ...common, name: 'status' }),
  )
  add('agents', 'replicas: how each is, and what it does', ['agents', 'agents --pool support'])
    .option('--pool <pool>', 'of this pool only', toName)
    .action((options: Common & { pool?: string }) => take({ ...options, name: 'agents' }))
  add('tasks', 'tasks, newest first; with an id, that task', ['tasks --status dead_letter', 'tasks t_06fk2p --json'])
    .argument('[id]', 'of a task', toName)
    .option('--pool <pool>', 'of this pool only', toName)
    .addOption(new Option('--status <status>', 'of this status only').choices(statuses))
    .option('--limit <count>', `1 to ${limits.pageRows}`, toLimit, 20)
    .action((id: string | undefined, options: Common & { pool?: string; status?: string; limit: number }) =>
      take({ ...options, name: 'tasks', ...(id === undefined ? {} : { id }) }),
    )
  add('incidents', 'incidents, newest first; with an id, its time line', [
    'incidents --open',
    'incidents --follow --json',
    'incidents i_06fk2p',
  ])
    .argument('[id]', 'of an incident', toName)
    .option('--open', 'only those that are not closed', false)
    .option('--follow', 'go on with what happens next', false)
    .option('--limit <count>', `1 to ${limits.pageRows}`, toLimit, 20)
    .action((id: string | undefined, options: Common & { open: boolean; follow: boolean; limit: number }) =>
      take({ ...options, name: 'incidents', ...(id === undefined ? {} : { id }) }),
    )
}

function addQuestions(add: Add, take: Take): void {
  add('why', 'one paragraph: verdict, evidence, what was done, what happens next', [
    'why',
    'why support/3',
    'why t_06fk2p',
  ])
    .argument('[subject]', 'a replica, a task or an incident; default: the last incident', toSubject)
    .action((subject: string | undefined, common: Common) =>
      take({ ...common, name: 'why', ...(subject === undefined ? {} : { subject }) }),
    )
  add('logs', 'the last lines that a replica wrote', ['logs support/3'])
    .argument('<replica>', 'e.g. support/3', toReplica)
    .action((replica: ReplicaName, common: Common) => take({ ...common, name: 'logs', replica }))
}

interface ReplayOptions extends Common {
  readonly pool?: string
  readonly nudge: boolean
  readonly leaveOneOut: boolean
}

function addReplay(add: Add, take: Take): void {
  add('replay', 'what the loop detectors would have said of recorded runs', [
    'replay history.jsonl',
    'replay history.jsonl.gz --json --config prunella.config.ts --pool support',
  ])
    .argument('<file>', 'JSON lines, gzipped or not: an export of the ledger, or a corpus of trajectories')
    .option('--pool <pool>', 'whose thresholds judge, with --config; default: the built-in ones', toName)
    .option('--nudge', 'flag what would have been nudged, not only what would have been acted on', false)
    .option('--leave-one-out', 'tune on all sources but one, measure on that one (labelled files)', false)
    .action((file: string, options: ReplayOptions) => take({ ...options, name: 'replay', file }))
}

interface ChaosOptions extends Common {
  readonly pool?: string
  readonly replica?: ReplicaName
  readonly dependency?: string
  readonly for?: number
  readonly input?: string
  readonly reason?: string
}

function addChaos(add: Add, take: Take): void {
  add('chaos', 'inject a fault for real, and print the scorecard; without a fault: which there are', [
    'chaos',
    `chaos crash --pool support --input '{"question":"?"}'`,
    'chaos freeze --replica support/0',
    `chaos all --pool support --input '{"question":"?"}' --json`,
  ])
    .addArgument(
      new Argument('[fault]', 'its name, or all of them one after the other').choices([...chaosFaults, 'all']),
    )
    .option('--pool <pool>', 'hits one of its replicas', toName)
    .option('--replica <replica>', 'hits this one, e.g. support/3', toReplica)
    .option('--dependency <name>', 'which one fails; default: the first that the pool depends on', toName)
    .option('--for <duration>', 'how long it lasts, where it lasts, e.g. 10s', toDuration)
    .option(
      '--input <json>',
      'of tasks that it submits and follows; without it others must keep the pool busy',
      toJsonText,
    )
    .option('--reason <text>', 'why: stands in the ledger beside who', toReason)
    .action((fault: ChaosFault | 'all' | undefined, { for: forMs, ...options }: ChaosOptions, command: Commander) => {
      if (fault !== undefined && (options.pool === undefined) === (options.replica === undefined))
        command.error('error: say whom it hits, with one of --pool and --replica')
      take({ ...options, name: 'chaos', fault: fault ?? null, ...(forMs === undefined ? {} : { forMs }) })
    })
}

const statuses = ['queued', 'scheduled', 'held', 'leased', 'returning', 'done', 'failed', 'dead_letter', 'cancelled']
