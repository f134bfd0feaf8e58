/** Loop detectors over recorded runs, ours beside the published rules, and how fast a fact is folded. */
import { existsSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { defaultToolLoop } from '../src/model/detect.ts'
import { leaveOneOut, traceOf } from '../src/offline/leave-one-out.ts'
import { type Findings, modelCallsAfter, replayRun } from '../src/offline/replay.ts'
import type { RecordedRun } from '../src/offline/run.ts'
import { kindOf, type LevelScore, median, outcomeOf, scoreOf } from '../src/offline/score.ts'
import { readTrajectory } from '../src/offline/trajectory.ts'
import { foldRun, newRun } from '../src/policy/detect/tool-loop.ts'
import { type LoopRule, loopRules } from './peers/loop-rules.ts'
import { type Row, report, row, settingsOf } from './support.ts'

const corpus = new URL('../../shared/data/trajectories/dev.jsonl.gz', import.meta.url)

export async function run(argv: readonly string[]): Promise<boolean> {
  const settings = settingsOf(argv, { runs: 5, shortRuns: 2 })
  if (!existsSync(corpus)) {
    console.log('detectors: skipped: ../shared/data is absent')
    return true
  }
  const lines = gunzipSync(readFileSync(corpus)).toString('utf8').trim().split('\n')
  const runs = lines.map((line, at) => readTrajectory(JSON.parse(line), `line ${at + 1}`))
  console.error(`${runs.length} runs read`)
  const findings = runs.map(({ facts }) => replayRun(facts, defaultToolLoop))
  const ours = (level: 'act' | 'nudge') => runs.map((_, at) => findings[at]?.[level]?.step ?? null)
  printTable([
    [
      'rule',
      'stuck caught',
      'loops outside InterCode',
      'clean flagged',
      'LLM call at detection',
      'LLM calls after onset',
    ],
    cellsOf('Prunella, acting', runs, ours('act')),
    cellsOf('Prunella, nudging', runs, ours('nudge')),
    ...loopRules.map((rule) => cellsOf(rule.name, runs, firstSteps(rule, runs))),
  ])
  const rates = Array.from({ length: settings.runs }, () => factsPerSecond(runs))
  const barred = barRows(runs, findings)
  const unseen = settings.short ? [] : unseenRows(runs)
  const speed = row('facts folded, one core', rates, '/s', {
    text: 'at least 10,000/s',
    met: Math.min(...rates) >= 10_000,
  })
  return report('detectors', settings, [...barred, ...unseen, ...peerRows(runs), speed])
}

function firstSteps(rule: LoopRule, runs: readonly RecordedRun[]): readonly (number | null)[] {
  return runs.map(({ facts }) => {
    const step = facts.findIndex(rule.start())
    return step === -1 ? null : step
  })
}

interface Figures {
  readonly stuck: number
  readonly outside: number
  readonly clean: number
  readonly call: number
  readonly after: number
}

function figuresOf(runs: readonly RecordedRun[], steps: readonly (number | null)[]): Figures {
  const rate = (isOf: (run: RecordedRun) => boolean): number => {
    const own = runs.flatMap((each, at) => (isOf(each) ? [steps[at] ?? null] : []))
    return (100 * own.filter((step) => step !== null).length) / own.length
  }
  const isStuck = ({ label }: RecordedRun): boolean => label?.kind === 'stuck'
  const caught = runs.flatMap((each, at) => {
    const step = steps[at] ?? null
    return isStuck(each) && step !== null ? [{ each, step }] : []
  })
  return {
    stuck: rate(isStuck),
    outside: rate((each) => isLoop(each) && each.source !== 'princeton-nlp/intercode'),
    clean: rate(({ label }) => label?.kind === 'clean'),
    call: median(caught.map(({ each, step }) => modelCallsAfter(each.facts, -1, step))) ?? Number.NaN,
    after:
      median(caught.map(({ each, step }) => modelCallsAfter(each.facts, each.label?.onset ?? 0, step))) ?? Number.NaN,
  }
}

function isLoop({ label }: RecordedRun): boolean {
  return label?.kind === 'stuck' && kindOf(label) === 'loop'
}

function cellsOf(name: string, runs: readonly RecordedRun[], steps: readonly (number | null)[]): readonly string[] {
  const { stuck, outside, clean, call, after } = figuresOf(runs, steps)
  return [name, `${stuck.toFixed(1)} %`, `${outside.toFixed(1)} %`, `${clean.toFixed(1)} %`, `${call}`, `${after}`]
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((cells) => cells[at]?.length ?? 0)))
  for (const cells of rows) console.log(cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '))
  console.log()
}

/** The bars of the issue, on the whole corpus at default settings. */
function barRows(runs: readonly RecordedRun[], findings: readonly Findings[]): readonly Row[] {
  const outcomes = runs.flatMap((each, at) => {
    const found = findings[at]
    const outcome = found === undefined ? null : outcomeOf(each, found)
    return outcome === null ? [] : [outcome]
  })
  const { act, nudge } = scoreOf(runs.length, outcomes)
  const worst = Math.max(
    ...act.sources
      .filter(({ falseAlarms }) => falseAlarms.of >= 30)
      .map(({ falseAlarms }) => percent(falseAlarms.share)),
  )
  return [
    atLeast('acting: loops caught', percent(act.loops.share), 95),
    atLeast('acting: talk without action caught', percent(act.talk.share), 95),
    atMost('acting: clean runs flagged', percent(act.falseAlarms.share), 0.8),
    atMost('acting: clean runs flagged, worst source of 30 or more', worst, 2),
    atMost('acting: median model calls after onset', act.medianModelCallsAfterOnset ?? Number.NaN, 4, 'calls'),
    atMost('nudging: median model calls after onset', nudge.medianModelCallsAfterOnset ?? Number.NaN, 2, 'calls'),
    atMost('nudging: clean runs nudged', percent(nudge.falseAlarms.share), 4),
  ]
}

/** Without a bar: what a corpus of this size can teach, and what the defaults' ratio keeps. */
function unseenRows(runs: readonly RecordedRun[]): readonly Row[] {
  const traces = runs.flatMap((each) => traceOf(each, defaultToolLoop) ?? [])
  const { scaled, free } = leaveOneOut(traces, defaultToolLoop.thresholds)
  const rows = (name: string, { loops, talk, falseAlarms }: LevelScore): readonly Row[] => [
    row(`${name}: loops caught`, [percent(loops.share)], '%'),
    row(`${name}: talk caught`, [percent(talk.share)], '%'),
    row(`${name}: clean runs flagged`, [percent(falseAlarms.share)], '%'),
  ]
  return [
    ...rows('acting, source unseen, one factor tuned', scaled.act),
    ...rows('acting, source unseen, every threshold tuned from nothing', free.act),
  ]
}

function peerRows(runs: readonly RecordedRun[]): readonly Row[] {
  return loopRules.flatMap((rule) => {
    const { stuck, clean } = figuresOf(runs, firstSteps(rule, runs))
    return [row(`${rule.name}: stuck caught`, [stuck], '%'), row(`${rule.name}: clean runs flagged`, [clean], '%')]
  })
}

function factsPerSecond(runs: readonly RecordedRun[]): number {
  let facts = 0
  const before = process.cpuUsage()
  for (const each of runs) {
    let state = newRun
    for (const fact of each.facts) state = foldRun(state, fact, defaultToolLoop).state
    facts += each.facts.length
  }
  const { user, system } = process.cpuUsage(before)
  return facts / ((user + system) / 1e6)
}

function percent(share: number | null): number {
  return share === null ? Number.NaN : 100 * share
}

function atLeast(what: string, value: number, bar: number): Row {
  return row(what, [value], '%', { text: `at least ${bar} %`, met: value >= bar })
}

function atMost(what: string, value: number, bar: number, unit = '%'): Row {
  return row(what, [value], unit, { text: `at most ${bar} ${unit}`, met: value <= bar })
}
