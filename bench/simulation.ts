/** Simulated hours of a ten-replica pool with faults per second of one core, checkers on: the real runtime and policy. */
import { createRandom } from '../test/sim/random.ts'
import { simulate } from '../test/sim/run.ts'
import { basicPool, calmScenario } from '../test/sim/scenario.ts'
import { quantile, type Row, report, row, settingsOf } from './support.ts'

const hourMs = 3_600_000

export async function run(argv: readonly string[]): Promise<boolean> {
  const settings = settingsOf(argv, { runs: 5, shortRuns: 2 })
  const lengthMs = settings.short ? 5 * hourMs : 20 * hourMs
  const busy: number[] = []
  const idle: number[] = []
  await hoursPerSecond(settings.seed, 2 * hourMs, 20_000) // Warms up: not counted.
  for (let round = 0; round < settings.runs; round++) {
    busy.push(await hoursPerSecond(settings.seed + round, lengthMs, 20_000))
    idle.push(await hoursPerSecond(settings.seed + round, lengthMs, Number.POSITIVE_INFINITY))
    console.error(
      `round ${round + 1} of ${settings.runs}: ${busy.at(-1)?.toFixed(1)} busy, ${idle.at(-1)?.toFixed(1)} idle`,
    )
  }
  const median = quantile(busy, 0.5)
  const rows: Row[] = [
    row('ten replicas, a task every 20 s, a fault every 4 min', busy, 'h/s', {
      text: 'at least 5 h/s',
      met: median >= 5,
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
  // Processor time, not the clock on the wall: neighbours on a busy machine are not our slowness.
  const before = process.cpuUsage()
  const { simulatedMs, violations } = await simulate({ seed, scenario })
  const [violation] = violations
  if (violation !== undefined) throw new Error(`seed ${seed} broke ${violation.rule}: ${violation.text}`)
  const { user, system } = process.cpuUsage(before)
  return simulatedMs / hourMs / ((user + system) / 1e6)
}
