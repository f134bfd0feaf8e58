/** SIGKILL, endless loop and SIGSTOP of a replica in mid-task, to the next new step of the same task. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PrunellaConfig } from '../src/config/index.ts'
import {
  agentFile,
  type BenchNode,
  benchNode,
  quantile,
  type Row,
  ready,
  report,
  row,
  settingsOf,
  waitFor,
} from './support.ts'

type Pool = NonNullable<PrunellaConfig['pools']>[string]

const steps = 400
const stepMs = 5
/** Everything at default but the clocks of the pulse watch. */
const tight = { pulse: { every: '100ms', suspect: '300ms', hung: '600ms' } } as const

export async function run(argv: readonly string[]): Promise<boolean> {
  const settings = settingsOf(argv, { runs: 50, shortRuns: 5 })
  const { runs, short } = settings
  const hangs = short ? 1 : 5
  const withSibling = await kills(runs, 2, 'SIGKILL', {})
  const alone: number[] = []
  const bare: number[] = []
  for (let at = 0; at < Math.max(3, Math.floor(runs / 5)); at++) {
    bare.push(await bareStartMs())
    alone.push(...(await kills(1, 1, 'SIGKILL', {})))
  }
  const loops = await kills(hangs, 2, 'loop', {})
  const stops = await kills(hangs, 2, 'SIGSTOP', {})
  const tightLoops = await kills(hangs, 2, 'loop', tight)
  const tightStops = await kills(hangs, 2, 'SIGSTOP', tight)
  const ratio = quantile(alone, 0.5) / quantile(bare, 0.5)
  const rows: Row[] = [
    row('SIGKILL, free sibling', withSibling, 'ms', {
      text: 'median ≤ 25 ms, worst ≤ 250 ms',
      met: quantile(withSibling, 0.5) <= 25 && Math.max(...withSibling) <= 250,
    }),
    row('bare spawn to first line', bare, 'ms'),
    row('SIGKILL, pool of one', alone, 'ms', { text: `median ≤ 2.5 × bare (${ratio.toFixed(2)})`, met: ratio <= 2.5 }),
    row('endless loop', loops, 'ms', { text: '≤ 8 s', met: Math.max(...loops) <= 8_000 }),
    row('SIGSTOP', stops, 'ms', { text: '≤ 8 s', met: Math.max(...stops) <= 8_000 }),
    row('endless loop, tight clocks', tightLoops, 'ms', { text: '≤ 1.5 s', met: Math.max(...tightLoops) <= 1_500 }),
    row('SIGSTOP, tight clocks', tightStops, 'ms', { text: '≤ 1.5 s', met: Math.max(...tightStops) <= 1_500 }),
  ]
  return report('recover', settings, rows)
}

/** One time to recovery for each run, each in a fresh node. */
async function kills(
  runs: number,
  replicas: number,
  how: 'SIGKILL' | 'SIGSTOP' | 'loop',
  more: Partial<Pool>,
): Promise<readonly number[]> {
  const times: number[] = []
  for (let at = 0; at < runs; at++) {
    const bench = await benchNode({
      stepper: { agent: agentFile('stepper'), replicas: { min: replicas, max: replicas }, ...more },
    })
    try {
      times.push(await recovery(bench, replicas, how))
    } finally {
      await bench.end()
    }
  }
  console.error(`${how} with ${replicas} replica(s): ${times.map((ms) => ms.toFixed(1)).join(' ')}`)
  return times
}

interface Line {
  readonly at: number
  readonly attempt: number
  readonly replica: string
  readonly atMs: number
}

async function recovery(bench: BenchNode, replicas: number, how: 'SIGKILL' | 'SIGSTOP' | 'loop'): Promise<number> {
  const { door } = bench.node
  const file = join(bench.folder, 'steps.jsonl')
  await ready(bench.node, replicas)
  const spinAt = how === 'loop' ? 10 : undefined
  await door.submit('stepper', [{ input: { steps, stepMs, file, ...(spinAt === undefined ? {} : { spinAt }) } }])
  const lines = (): readonly Line[] => {
    try {
      return readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Line)
    } catch {
      return [] // Not written yet.
    }
  }
  await waitFor(() => lines().length > 10, 'the first ten steps')
  const victim = door.replicas().find((replica) => replica.tasks.length > 0)
  if (victim === undefined || victim.pid === null) throw new Error('no replica has the task')
  const hurtMs = how === 'loop' ? (lines().at(-1)?.atMs ?? 0) : performance.timeOrigin + performance.now()
  if (how !== 'loop') process.kill(victim.pid, how)
  await waitFor(() => lines().some((line) => line.attempt > 1), 'a step of the next attempt')
  const before = new Set(
    lines()
      .filter((line) => line.attempt === 1)
      .map((line) => line.at),
  )
  const next = lines().find((line) => line.attempt > 1)
  if (next === undefined) throw new Error('no step of the next attempt')
  const repeated = lines().filter((line) => line.attempt > 1 && before.has(line.at)).length
  if (repeated > 1) throw new Error(`${repeated} finished steps were repeated`)
  await waitFor(() => isGone(victim.pid ?? 0), 'the old process to be gone')
  return next.atMs - hurtMs
}

function isGone(pid: number): boolean {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return true
  }
}

/** The floor: a plain Node process of this version, from spawn to its first line. */
function bareStartMs(): Promise<number> {
  const startMs = performance.now()
  const child = spawn(process.execPath, ['--input-type=module', '-e', 'process.stdout.write("ready\\n")'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.stdout.once('data', () => resolve(performance.now() - startMs))
  })
}
