/** Simulated hours of a ten-replica pool with faults per second of one core, checkers on: the real runtime and policy. */
import { createRandom } from '../test/sim/random.ts'
import { simulate } from '../test/sim/run.ts'
import { basicPool, calmScenario } from '../test/sim/scenario.ts'
import { type Row, report, row, settingsOf } from './support.ts'

const hourMs = 3_600_000

export async function run(argv: readonly string[]): Promise<boolean> {
  const settings = settingsOf(argv, { runs: 5, shortRuns: 2 })
  const lengthMs = settings.short ? 2 * hourMs : 10 * hourMs
  const busy: number[] = []
  const idle: number[] = []
  for (let round = 0; round < settings.runs; round++) {
    busy.push(await hoursPerSecond(settings.seed + round, lengthMs, 20_000))
    idle.push(await hoursPerSecond(settings.seed + round, lengthMs, Number.POSITIVE_INFINITY))
    console.error(
      `round ${round + 1} of ${settings.runs}: ${busy.at(-1)?.toFixed(1)} busy, ${idle.at(-1)?.toFixed(1)} idle`,
    )
  }
  const worst = Math.min(...busy)
  const rows: Row[] = [
    row('ten replicas, a task every 20 s, a fault every 4 min', busy, 'h/s', {
      text: 'at least 5 h/s',
      met: worst >= 5,
    }),
    row('ten replicas, no tasks, a fault every 4 min', idle, 'h/s'),
  ]
  return report('simulation', settings, rows)
}

async function hoursPerSecond(seed: number, lengthMs: number, submitMeanMs: number): Promise<number> {
  const meanMs = 30 * 60_000
  const scenario = calmScenario(basicPool('pool', 10, 1), createRandom(seed), {
    lengthMs,
    submitMeanMs: Math.min(submitMeanMs, 10 * lengthMs),
    mostTasks: Number.isFinite(submitMeanMs) ? Math.ceil((2 * lengthMs) / submitMeanMs) : 0,
    // Eight streams of one in half an hour each: about a fault every four minutes.
    meansMs: new Map(
      (
        [
          'crash',
          'exit_clean',
          'out_of_memory',
          'loop',
          'stop',
          'starve',
          'supervisor_crash',
          'supervisor_pause',
        ] as const
      ).map((name) => [name, meanMs]),
    ),
  })
  const startMs = performance.now()
  const { simulatedMs, violations } = await simulate({ seed, scenario })
  const [violation] = violations
  if (violation !== undefined) throw new Error(`seed ${seed} broke ${violation.rule}: ${violation.text}`)
  return simulatedMs / hourMs / ((performance.now() - startMs) / 1_000)
}
