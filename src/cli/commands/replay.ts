import { resolve } from 'node:path'
import type { ResolvedConfig } from '../../model/config.ts'
import { defaultToolLoop, type ToolLoopSpec } from '../../model/detect.ts'
import { leaveOneOut, type Trace, traceOf } from '../../offline/leave-one-out.ts'
import type { Findings } from '../../offline/replay.ts'
import type { RecordedRun } from '../../offline/run.ts'
import { type Outcome, outcomeOf, type Score, scoreOf } from '../../offline/score.ts'
import type { Replay } from '../command.ts'
import { exits, UsageError } from '../errors.ts'
import type { Io } from '../io.ts'
import { readLines } from '../lines.ts'
import { type ReplayedRun, replayLines } from '../replay-lines.ts'
import { showFlagged, showLeaveOneOut, showScore } from '../replay-words.ts'
import { count, toJson } from '../words.ts'

export interface Reading {
  readonly loadConfig: (file?: string) => Promise<ResolvedConfig>
}

/** Runs between two words of progress. */
const progressEvery = 100
/** Flagged runs that a person is shown; `--json` has all. */
const shownRuns = 40

export async function run(command: Replay, io: Io, { loadConfig }: Reading): Promise<number> {
  const specOf = await specs(command, loadConfig)
  const level = command.nudge ? 'nudge' : 'act'
  const path = resolve(io.folder, command.file)
  const outcomes: Outcome[] = []
  const traces: Trace[] = []
  const flagged: ReplayedRun[] = []
  let runs = 0
  try {
    for await (const replayed of replayLines(readLines(path), command.file, specOf)) {
      runs++
      const { recorded, findings } = replayed
      if (findings[level] !== null) flagged.push(replayed)
      const outcome = recorded === null ? null : outcomeOf(recorded, findings)
      if (outcome !== null) outcomes.push(outcome)
      const trace = command.leaveOneOut && recorded !== null ? traceOf(recorded, specOf(recorded.pool)) : null
      if (trace !== null) traces.push(trace)
      if (command.json) io.out(toJson({ ...verdictOf(replayed, level), ...hindsight(recorded) }))
      if (runs % progressEvery === 0) io.progress?.(`${count(runs, 'run')} replayed`)
    }
  } finally {
    io.progress?.(null)
  }
  if (command.leaveOneOut && traces.length === 0) {
    throw new UsageError(`--leave-one-out needs labelled runs, and ${command.file} has none.`)
  }
  const score = outcomes.length === 0 ? null : scoreOf(runs, outcomes)
  const unseen = command.leaveOneOut ? leaveOneOut(traces, specOf(null).thresholds) : null
  if (command.json) {
    if (score !== null) io.out(toJson({ summary: { ...score, ...(unseen === null ? {} : { leaveOneOut: unseen }) } }))
    return exits.done
  }
  for (const line of showFlagged(flagged.slice(0, shownRuns), level, io.color)) io.out(line)
  io.out(sayCount(runs, flagged.length, level, score))
  if (score !== null) for (const line of showScore(score, io.color)) io.out(line)
  if (unseen !== null) for (const line of showLeaveOneOut(unseen, io.color)) io.out(line)
  return exits.done
}

/** Of the configuration only when it is named: recorded runs may be anybody's. */
async function specs(
  { config, pool }: Replay,
  loadConfig: Reading['loadConfig'],
): Promise<(pool: string | null) => ToolLoopSpec> {
  if (config === undefined) {
    if (pool !== undefined) throw new UsageError('--pool names a pool of the configuration: give --config with it.')
    return () => defaultToolLoop
  }
  const { pools } = await loadConfig(config)
  const byName = new Map(pools.map(({ name, detect }) => [name, detect.toolLoop]))
  const chosen = pool === undefined ? undefined : byName.get(pool)
  if (pool !== undefined && chosen === undefined) {
    throw new UsageError(`${config} has no pool "${pool}"; it has ${[...byName.keys()].join(', ')}.`)
  }
  const only = byName.size === 1 ? [...byName.values()][0] : undefined
  return (name) => chosen ?? byName.get(name ?? '') ?? only ?? defaultToolLoop
}

/** One object a run: flagged or not, and the first verdict of each level. */
function verdictOf({ id, source, pool, facts, findings }: ReplayedRun, level: 'nudge' | 'act') {
  const found = findings[level]
  return {
    id,
    source,
    pool,
    facts,
    level: loudest(findings),
    flagged: found !== null,
    step: found?.step ?? null,
    modelCall: found?.modelCall ?? null,
    form: found?.form ?? null,
    note: findings.note,
    nudge: findings.nudge,
    act: findings.act,
  }
}

function hindsight(recorded: RecordedRun | null) {
  if (recorded?.label === null || recorded === null) return {}
  const { kind, rule, onset } = recorded.label
  return { label: kind, rule, onset }
}

function loudest({ note, nudge, act }: Findings) {
  if (act !== null) return 'act'
  if (nudge !== null) return 'nudge'
  return note === null ? null : 'note'
}

function sayCount(runs: number, flagged: number, level: 'nudge' | 'act', score: Score | null): string {
  const what = level === 'act' ? 'would have been acted on' : 'would have been nudged'
  const more = flagged > shownRuns ? `; the first ${shownRuns} are shown, --json has all` : ''
  const labels = score === null ? '' : `, ${score.labelled} of them labelled stuck or clean`
  return `${count(runs, 'run')}${labels}; ${flagged} ${what}${more}.`
}
