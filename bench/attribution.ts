/** Whose fault is it: every kind of fault injected, simulated and with real processes, and whether the right culprit was named. */
import type { Culprit } from '../src/model/fault.ts'
import { allKinds, kindNames, realNames } from './parts/attribution-kinds.ts'
import { tryAllReal } from './parts/attribution-real.ts'
import { trySimulated } from './parts/attribution-simulated.ts'
import { culprits, isRight, type Trial, type Verdict, verdicts } from './parts/attribution-verdict.ts'
import { type Row, report, row, settingsOf } from './support.ts'

const bar = 95
const wrongShown = 3
const realRuns = { short: 1, full: 5 }
const parts = ['simulated', 'real'] as const
type Part = (typeof parts)[number]

/** `--only` takes parts and kinds; with a kind nothing is written. */
export async function run(argv: readonly string[]): Promise<boolean> {
  const only = [...new Set([...parts, ...kindNames, ...realNames])]
  const settings = settingsOf(argv, { runs: 50, shortRuns: 2, only })
  const askedParts = parts.filter((part) => settings.only.includes(part))
  const chosen = askedParts.length === 0 ? parts : askedParts
  const askedKinds = settings.only.filter((name) => !parts.some((part) => part === name))
  const isAsked = (name: string): boolean => askedKinds.length === 0 || askedKinds.some((kind) => kind === name)
  const rows: Row[] = []
  for (const part of chosen) {
    const trials = part === 'simulated' ? await simulated(settings, isAsked) : await real(settings, isAsked)
    if (trials.length === 0) continue
    console.log(`${part}, ${trials.length} trials:`)
    printMatrix(matrixOf(trials))
    rows.push(...rowsOf(part, trials))
  }
  if (askedKinds.length > 0 && askedKinds.length < only.length - parts.length)
    return rows.every(({ met }) => met !== false)
  return report('attribution', settings, rows, ({ what }) => !chosen.some((part) => what.startsWith(`${part},`)))
}

interface Sample {
  readonly runs: number
  readonly seed: number
  readonly short: boolean
}

async function simulated({ runs, seed }: Sample, isAsked: (name: string) => boolean): Promise<readonly Trial[]> {
  const trials: Trial[] = []
  for (const kind of kindNames.filter(isAsked)) {
    const own: Trial[] = []
    for (let at = 0; at < runs; at++) own.push(await trySimulated(kind, seed + at))
    const wrong = own.filter((trial) => !isRight(trial))
    console.error(`${kind}: ${own.length - wrong.length} of ${own.length}`)
    for (const trial of wrong.slice(0, wrongShown)) console.error(inWords(trial))
    trials.push(...own)
  }
  return trials
}

async function real({ runs, seed, short }: Sample, isAsked: (name: string) => boolean): Promise<readonly Trial[]> {
  const sample = { runs: Math.min(runs, short ? realRuns.short : realRuns.full), seed }
  return tryAllReal(realNames.filter(isAsked), sample, (trial) => {
    console.error(`real ${trial.kind}: ${isRight(trial) ? 'right' : 'WRONG'}\n${inWords(trial)}`)
  })
}

function inWords({ seed, verdict, words }: Trial): string {
  return [`  seed ${seed}: ${verdict}`, ...words].join('\n    ')
}

interface Cell {
  readonly truth: Culprit
  readonly verdict: Verdict
  readonly count: number
}

/** The confusion matrix, without the truths that were not tried. */
function matrixOf(trials: readonly Trial[]): readonly Cell[] {
  return culprits.flatMap((truth) => {
    const own = trials.filter(({ kind }) => allKinds[kind].truth === truth)
    const count = (verdict: Verdict): number => own.filter((trial) => trial.verdict === verdict).length
    return own.length === 0 ? [] : verdicts.map((verdict) => ({ truth, verdict, count: count(verdict) }))
  })
}

/** Truth down, verdict across. */
function printMatrix(cells: readonly Cell[]): void {
  console.log(`${'truth'.padEnd(12)}${verdicts.map((verdict) => verdict.padStart(12)).join('')}`)
  for (const [truth, row] of Map.groupBy(cells, (cell) => cell.truth))
    console.log(`${truth.padEnd(12)}${row.map(({ count }) => String(count).padStart(12)).join('')}`)
}

function rowsOf(part: Part, trials: readonly Trial[]): readonly Row[] {
  const share = (some: readonly Trial[]): number => (100 * some.filter(isRight).length) / some.length
  const atFirst = trials.map((trial) => ({ ...trial, verdict: trial.first }))
  const misled = atFirst.filter((trial) => trial.verdict !== 'unknown' && !isRight(trial))
  const names = (part === 'simulated' ? kindNames : realNames).filter((name) =>
    trials.some(({ kind }) => kind === name),
  )
  const rows = names.map((name) => {
    const own = trials.filter(({ kind }) => kind === name)
    return row(`${part}, ${name} (${allKinds[name].truth}): right, of ${own.length}`, [share(own)], '%')
  })
  const tookS = trials.flatMap(({ tookMs }) => (tookMs === null ? [] : [tookMs / 1_000]))
  const cells = matrixOf(trials).filter(({ count }) => count > 0)
  return [
    ...rows,
    ...cells.map(({ truth, verdict, count }) => row(`${part}, truth ${truth}, verdict ${verdict}`, [count], 'trials')),
    row(`${part}, first verdict right`, [share(atFirst)], '%'),
    row(`${part}, first verdict names another culprit`, [(100 * misled.length) / trials.length], '%'),
    row(`${part}, until every verdict stood`, tookS, 's'),
    row(`${part}, right culprit, of ${trials.length}`, [share(trials)], '%', {
      text: `at least ${bar} %`,
      met: share(trials) >= bar,
    }),
  ]
}
