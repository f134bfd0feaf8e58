import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '../../test/sim/random.ts'
import { allKinds, type RealName } from './attribution-kinds.ts'
import { type Draw, Stage } from './attribution-stage.ts'
import { plots } from './attribution-strikes.ts'
import { failedTrial, type Trial, trialOf } from './attribution-verdict.ts'

/** Nodes side by side: most of the time each of them waits. */
const atOnce = 5
/** A fault that is mended takes a few seconds at these clocks, and what cannot be mended stays as it is. */
const mendMs = 25_000
const endMs = 15_000
/** So long nobody may be accused afterwards. */
const calmMs = 2_500
const lastLookMs = 300

/** One fault in a pool of real processes, in a node of its own; the verdict is what its API says in the end. */
export async function tryReal(kind: RealName, seed: number): Promise<Trial> {
  const plot = plots[kind]
  const random = createRandom(seed ^ 0x4ea1)
  const draw: Draw = {
    random,
    replicas: random.between(...(plot.replicas ?? [2, 4])),
    concurrency: random.between(...(plot.concurrency ?? [1, 2])),
    steps: random.between(2, 5),
    stepMs: random.between(20, 150),
  }
  const stage = new Stage(plot, draw)
  plot.before?.(stage)
  try {
    await stage.open()
    if (plot.before === undefined) {
      await stage.ready()
      const beginMs = Date.now() + random.between(500, 2_500)
      await stage.until(() => Date.now() > beginMs, 5_000)
    }
    let isDone = false
    const striking = plot.strike(stage).finally(() => {
      isDone = true
    })
    // The pool stays at work meanwhile.
    await stage.until(() => isDone, 60_000)
    await striking
    return await judge(kind, seed, stage)
  } finally {
    await stage.close()
  }
}

/** Waits until everything that the fault has set in motion is over. */
async function judge(kind: RealName, seed: number, stage: Stage): Promise<Trial> {
  const sinceMs = Date.now()
  const isOver = (statuses: readonly string[]): boolean =>
    stage.incidents.every(({ status }) => statuses.includes(status))
  const isNoticed = (): boolean => allKinds[kind].told !== 'incidents' || stage.incidents.length > 0
  await stage.until(
    () => Date.now() - sinceMs > calmMs && isNoticed() && isOver(['closed', 'needs_review', 'probation']),
    mendMs,
  )
  stage.wanted = null
  await stage.until(async () => isOver(['closed', 'needs_review']) && (await stage.isSettled()), endMs)
  await sleep(lastLookMs)
  await stage.look()
  return trialOf(kind, seed, stage.courses.list, await stage.isCharged())
}

/** Calls `done` with each trial as it ends. Those that need the machine for themselves come last, one by one. */
export async function tryAllReal(
  names: readonly RealName[],
  { runs, seed }: { readonly runs: number; readonly seed: number },
  done: (trial: Trial) => void,
): Promise<readonly Trial[]> {
  // One of each kind after the other, so that what is slow is not all at the end.
  const wanted = Array.from({ length: runs }, (_, at) => names.map((name) => ({ name, seed: seed + at }))).flat()
  const trials: Trial[] = []
  const work = async (queue: typeof wanted): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { name, seed } = next
      const trial = await tryReal(name, seed).catch((error: unknown) => failedTrial(name, seed, error))
      trials.push(trial)
      done(trial)
    }
  }
  const beside = wanted.filter(({ name }) => plots[name].alone === undefined)
  await Promise.all(Array.from({ length: atOnce }, () => work(beside)))
  await work(wanted.filter(({ name }) => plots[name].alone === true))
  return trials
}
