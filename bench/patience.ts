/** Slow, starved, stopped or long in starting is not dead: nobody is killed, restarted or accused. `--only a|b|c|d`. */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { defaultDeadlines, defaultProbes, defaultPulse, defaults } from '../src/config/defaults.ts'
import type { PrunellaConfig } from '../src/config/index.ts'
import { factsOf, type Harm, harmBetween, harmRow } from './parts/calm.ts'
import { Life, listen } from './parts/life.ts'
import { type ProbeAnswer, probeRows, watchProbes } from './parts/probes.ts'
import { Spinners } from './parts/spinners.ts'
import { agentFile, benchNode, type Row, ready, report, row, settingsOf, waitFor } from './support.ts'

type Pool = NonNullable<PrunellaConfig['pools']>[string]

const parts = { a: slowTasks, b: starvedReplicas, c: stoppedSupervisor, d: longStart }
const names = ['a', 'b', 'c', 'd'] as const

export async function run(argv: readonly string[]): Promise<boolean> {
  const { only, ...settings } = settingsOf(argv, { runs: 1, shortRuns: 1, only: names })
  const rows: Row[] = []
  for (const name of only) rows.push(...(await parts[name](settings.short, settings.runs)))
  return report('patience', settings, rows, ({ what }) => !only.some((name) => what.startsWith(name)))
}

/** Every clock of the pool is the default divided by `factor`, and a task's minute is as much shorter. */
function scaled(factor: number): Partial<Pool> {
  const ms = (value: number): number => value / factor
  const probe = (kind: keyof typeof defaultProbes) => ({
    periodSeconds: ms(defaultProbes[kind].periodMs) / 1_000,
    timeoutSeconds: ms(defaultProbes[kind].timeoutMs) / 1_000,
  })
  const { everyMs, suspectMs, hungMs } = defaultPulse
  return {
    pulse: { every: ms(everyMs), suspect: ms(suspectMs), hung: ms(hungMs) },
    deadlines: {
      step: ms(defaultDeadlines.stepMs),
      tool: ms(defaultDeadlines.toolMs),
      idle: ms(defaultDeadlines.idleMs),
    },
    lease: ms(defaults.leaseMs),
    health: { liveness: probe('liveness'), readiness: probe('readiness'), startup: probe('startup') },
  }
}

const styles = ['step', 'talk', 'tools', 'wait', 'blocks'] as const

/** Twenty minutes of each kind of slow work, one replica each, on clocks that run 20 times as fast (60 when short). */
async function slowTasks(short: boolean, runs: number): Promise<readonly Row[]> {
  const factor = short ? 60 : 20
  const replicas = { min: styles.length, max: styles.length }
  const harms: Harm[] = []
  const doneOf: number[] = []
  for (let at = 0; at < runs; at++) {
    const bench = await benchNode({ slow: { agent: agentFile('patient'), replicas, ...scaled(factor) } })
    const { door } = bench.node
    try {
      await ready(bench.node, styles.length)
      const before = await factsOf(door)
      console.error(`a: ${styles.join(', ')}: 20 minutes each, on clocks ${factor} times as fast`)
      const inputs = styles.map((style) => ({ input: { do: style, minuteMs: 60_000 / factor } }))
      const outcomes = await door.submit('slow', inputs)
      const ids = outcomes.flatMap((outcome) => (outcome.kind === 'created' ? [outcome.id] : []))
      const stop = new AbortController()
      const boundMs = (25 * 60_000) / factor
      const tasks = await Promise.all(ids.map((id) => door.waitForTask(id, boundMs, stop.signal)))
      doneOf.push(tasks.filter((task) => task?.status === 'done' && task.attempts.length === 1).length)
      harms.push(harmBetween(before, await factsOf(door)))
    } finally {
      await bench.end()
    }
  }
  const what = `a: tasks of 20 minutes, clocks 1/${factor}`
  return [harmRow(what, harms), allRow(`${what}: done in one attempt, of ${styles.length}`, doneOf, styles.length)]
}

const spinnerCount = 40

/** Six busy replicas at default clocks beside spinning processes. */
async function starvedReplicas(short: boolean, runs: number): Promise<readonly Row[]> {
  const forMs = short ? 12_000 : 60_000
  const seen = { harms: [] as Harm[], pulseMs: [] as number[], lagMs: [] as number[], done: [] as number[] }
  for (let at = 0; at < runs; at++) {
    const bench = await benchNode({ busy: { agent: agentFile('patient'), replicas: { min: 6, max: 6 } } })
    const { door } = bench.node
    const spinners = new Spinners()
    try {
      await ready(bench.node, 6)
      const before = await factsOf(door)
      let done = 0
      door.subscribe(null, ({ notice }) => {
        if (notice.kind === 'attempt_ended' && notice.outcome === 'done') done++
      })
      await door.submit(
        'busy',
        Array.from({ length: 1_000 }, () => ({ input: { do: 'steps', steps: 10 } })),
      )
      spinners.start(spinnerCount)
      console.error(`b: ${spinnerCount} spinners for ${forMs / 1_000} s`)
      let pulseMs = 0
      let lagMs = 0
      for (const endMs = performance.now() + forMs; performance.now() < endMs; await sleep(20)) {
        pulseMs = Math.max(pulseMs, ...door.replicas().map((replica) => replica.pulseAgeMs ?? 0))
        lagMs = Math.max(lagMs, door.node().lagMs)
      }
      seen.pulseMs.push(pulseMs)
      seen.lagMs.push(lagMs)
      seen.harms.push(harmBetween(before, await factsOf(door)))
      seen.done.push(done)
    } finally {
      spinners.end()
      await bench.end()
    }
  }
  const what = `b: 6 replicas, ${spinnerCount} spinners, ${forMs / 1_000} s`
  return [
    harmRow(what, seen.harms),
    row(`${what}: longest silence of a pulse`, seen.pulseMs, 'ms'),
    row(`${what}: longest delay of the supervisor`, seen.lagMs, 'ms'),
    row(`${what}: tasks done meanwhile`, seen.done, ''),
  ]
}

/** A supervisor under load is stopped, and watched after it wakes for as long as its slowest net would take to judge. */
async function stoppedSupervisor(short: boolean, runs: number): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const stopMs of short ? [4_000] : [4_000, 30_000]) {
    const harms: Harm[] = []
    const resumeMs: number[] = []
    const undone: number[] = []
    for (let at = 0; at < runs; at++) {
      const seen = await stopOnce(stopMs, short ? 5_000 : 20_000)
      harms.push(seen.harm)
      resumeMs.push(seen.resumeMs)
      undone.push(seen.undone)
    }
    const what = `c: supervisor stopped for ${stopMs / 1_000} s`
    rows.push(
      harmRow(what, harms),
      row(`${what}: wake to first new effect`, resumeMs, 'ms', { text: '≤ 3 s', met: Math.max(...resumeMs) <= 3_000 }),
      row(`${what}: tasks not done`, undone, '', { text: '0', met: undone.every((count) => count === 0) }),
    )
  }
  return rows
}

async function stopOnce(
  stopMs: number,
  watchMs: number,
): Promise<{ readonly harm: Harm; readonly resumeMs: number; readonly undone: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'prunella-patience-'))
  const effectsMs: number[] = []
  const { url, close } = await listen(() => effectsMs.push(performance.now()))
  const ids: string[] = []
  const life = new Life(folder, url, ids)
  const spinners = new Spinners()
  try {
    await life.started
    life.send({ submit: 600 })
    await waitFor(() => effectsMs.length > 20, 'effects')
    const before = await life.facts()
    spinners.start(4)
    console.error(`c: the supervisor is stopped for ${stopMs / 1_000} s, beside 4 spinners`)
    life.signal('SIGSTOP')
    await sleep(stopMs)
    const wakeMs = performance.now()
    life.signal('SIGCONT')
    await waitFor(() => (effectsMs.at(-1) ?? 0) > wakeMs, 'an effect after the wake')
    const resumeMs = (effectsMs.find((ms) => ms > wakeMs) ?? Number.NaN) - wakeMs
    await sleep(watchMs)
    spinners.end()
    const harm = harmBetween(before, await life.facts())
    let undone = ids.length
    await waitFor(async () => {
      undone = (await life.status(ids)).filter((status) => status !== 'done').length
      return undone === 0
    }, 'all tasks').catch((error: unknown) => console.error(String(error)))
    return { harm, resumeMs, undone }
  } finally {
    spinners.end()
    await life.kill()
    await close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** A setup of two minutes under the default startup probe, and what the three probes say over HTTP meanwhile. */
async function longStart(short: boolean, runs: number): Promise<readonly Row[]> {
  const setupMs = short ? 10_000 : 120_000
  const harms: Harm[] = []
  const answers: ProbeAnswer[] = []
  const openMs: number[] = []
  for (let at = 0; at < runs; at++) {
    const setupFolder = await mkdtemp(join(tmpdir(), 'prunella-setup-'))
    const environment = { set: { SETUP_MS: String(setupMs), SETUP_FOLDER: setupFolder } }
    const pool: Pool = { agent: agentFile('patient'), replicas: { min: 2, max: 2 }, environment }
    const bench = await benchNode({ late: pool }, 'token-of-a-benchmark')
    const { door, url } = bench.node
    try {
      await waitFor(() => door.replicas().filter(({ pid }) => pid !== null).length === 2, 'two processes')
      const before = await factsOf(door)
      console.error(`d: a setup of ${setupMs / 1_000} s, its first half without a turn of the loop`)
      const seen = await watchProbes(url ?? '', 'late', {
        setUp: async () => {
          const files = await readdir(setupFolder)
          return Promise.all(files.map(async (file) => (await stat(join(setupFolder, file))).mtimeMs))
        },
        replicas: 2,
        timeoutMs: setupMs + 30_000,
        everyMs: 100,
      })
      answers.push(...seen.answers)
      openMs.push(seen.openMs)
      harms.push(harmBetween(before, await factsOf(door)))
    } finally {
      await bench.end()
      await rm(setupFolder, { recursive: true, force: true })
    }
  }
  const what = `d: a setup of ${setupMs / 1_000} s`
  return [harmRow(what, harms), ...probeRows(what, answers, openMs)]
}

function allRow(what: string, values: readonly number[], all: number): Row {
  return row(what, values, '', { text: `${all}`, met: values.every((value) => value === all) })
}
