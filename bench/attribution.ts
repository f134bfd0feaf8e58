/** Whose fault is it: every kind of fault injected through the simulator, and whether the right culprit was named. */
import { type KindName, kindNames, kinds } from './parts/attribution-kinds.ts'
import { trySimulated } from './parts/attribution-simulated.ts'
import { isRight, type Trial, verdicts } from './parts/attribution-verdict.ts'
import { type Row, report, row, settingsOf } from './support.ts'

const bar = 95
const wrongShown = 3

export async function run(argv: readonly string[]): Promise<boolean> {
  const settings = settingsOf(argv, { runs: 50, shortRuns: 2 })
  const trials: Trial[] = []
  for (const kind of kindNames) {
    const own = await tryKind(kind, settings)
    const wrong = own.filter((trial) => !isRight(trial))
    console.error(`${kind}: ${own.length - wrong.length} of ${own.length}`)
    for (const { seed, verdict, courses } of wrong.slice(0, wrongShown))
      console.error(`  seed ${seed}: ${verdict}\n    ${courses.map(({ words }) => words).join('\n    ')}`)
    trials.push(...own)
  }
  printMatrix(trials)
  return report('attribution', settings, rowsOf(trials))
}

async function tryKind(
  kind: KindName,
  { runs, seed }: { readonly runs: number; readonly seed: number },
): Promise<readonly Trial[]> {
  const trials: Trial[] = []
  for (let at = 0; at < runs; at++) trials.push(await trySimulated(kind, seed + at))
  return trials
}

/** Truth down, verdict across. */
function printMatrix(trials: readonly Trial[]): void {
  console.log(`${'truth'.padEnd(12)}${verdicts.map((verdict) => verdict.padStart(12)).join('')}`)
  for (const truth of verdicts) {
    const own = trials.filter(({ kind }) => kinds[kind].truth === truth)
    if (own.length === 0) continue
    const counts = verdicts.map((verdict) => own.filter((trial) => trial.verdict === verdict).length)
    console.log(`${truth.padEnd(12)}${counts.map((count) => String(count).padStart(12)).join('')}`)
  }
}

function rowsOf(trials: readonly Trial[]): readonly Row[] {
  const share = (some: readonly Trial[]): number => (100 * some.filter(isRight).length) / some.length
  const atFirst = trials.filter((trial) => isRight({ ...trial, verdict: trial.first }))
  const rows = kindNames.map((kind) => {
    const own = trials.filter((trial) => trial.kind === kind)
    return row(`simulated, ${kind} (${kinds[kind].truth}): right, of ${own.length}`, [share(own)], '%')
  })
  const tookS = trials.flatMap(({ tookMs }) => (tookMs === null ? [] : [tookMs / 1_000]))
  return [
    ...rows,
    row('simulated, first verdict right', [(100 * atFirst.length) / trials.length], '%'),
    row('simulated, until every verdict stood', tookS, 's'),
    row(`simulated, right culprit, of ${trials.length}`, [share(trials)], '%', {
      text: `at least ${bar} %`,
      met: share(trials) >= bar,
    }),
  ]
}
