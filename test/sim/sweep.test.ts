import { expect, test } from 'vitest'
import { createRandom } from './random.ts'
import { describeFailure, type SimulationResult, simulate } from './run.ts'
import { basicPool, calmScenario, type Scenario } from './scenario.ts'
import type { StepScript, TaskScript } from './script.ts'
import { type Mishap, type Strike, Sweep } from './sweep.ts'

const step: StepScript = {
  name: 'one',
  kind: 'step',
  ms: 700,
  repeat: 'safe_to_retry',
  progressMs: null,
  timeoutMs: null,
  blocking: false,
  uses: null,
  seen: null,
}
const plain = taskOf(step, { ...step, name: 'two' })
const stalling = taskOf({ ...step, ms: Number.POSITIVE_INFINITY, timeoutMs: 2_000 })
const pool = basicPool('pool', 3, 1)
const twoPlaces = basicPool('pool', 2, 2)

function taskOf(...steps: readonly StepScript[]): TaskScript {
  return { steps, failures: 0, poison: null }
}

/** Small, and yet with everything in it that a supervisor may be in the middle of when it dies. */
const scenarios: Readonly<Record<string, Scenario>> = {
  /** A crash and a soft restart, steps of each kind, and people: quarantine, release, drain, cancel, retry. */
  healing: calmScenario({ ...pool, retry: { ...pool.retry, attempts: 2 } }, createRandom(1), {
    lengthMs: 30_000,
    tasks: [
      plain,
      taskOf({ ...step, repeat: 'ask_human' }, { ...step, name: 'two', repeat: 'check_first' }),
      stalling,
      plain,
      taskOf({ ...step, repeat: 'check_first' }, { ...step, name: 'two', repeat: 'ask_human' }),
      plain,
      plain,
    ],
    deeds: [
      { atMs: 1_000, kind: 'crash_holder', task: 3 },
      { atMs: 1_500, kind: 'cancel', task: 6 },
      { atMs: 6_000, kind: 'operate', command: { kind: 'quarantine', replica: 'pool/1' } },
      { atMs: 9_000, kind: 'operate', command: { kind: 'drain', replica: 'pool/2' } },
      { atMs: 12_000, kind: 'operate', command: { kind: 'release', replica: 'pool/1' } },
      { atMs: 14_000, kind: 'retry', task: 2 },
      // When all is quiet: nothing else would wake the pool for it.
      { atMs: 26_000, kind: 'retry', task: 6 },
    ],
  }),
  /** A pool of one with a poison task: held as defective, its canary, a person's hold and restart. */
  alone: calmScenario(basicPool('pool', 1, 2), createRandom(2), {
    lengthMs: 25_000,
    tasks: [{ ...plain, poison: 'crash' }, plain, taskOf({ ...step, repeat: 'ask_human' }), { ...plain, failures: 1 }],
    deeds: [
      { atMs: 3_000, kind: 'operate', command: { kind: 'hold', pool: 'pool' } },
      { atMs: 6_000, kind: 'operate', command: { kind: 'resume', pool: 'pool' } },
      { atMs: 8_000, kind: 'operate', command: { kind: 'restart', replica: 'pool/0', rung: 'soft' } },
    ],
  }),
  /** A replica that hangs again and again, beside its tasks: looks, stacks, kills, and quarantine by the ladder. */
  hanging: calmScenario({ ...twoPlaces, recovery: { ...twoPlaces.recovery, soft: 0, hard: 1 } }, createRandom(3), {
    lengthMs: 40_000,
    tasks: Array.from({ length: 10 }, () => taskOf({ ...step, ms: 2_500 }, { ...step, ms: 2_500, name: 'two' })),
    deeds: [
      { atMs: 1_000, kind: 'hang', replica: 'pool/0' },
      { atMs: 10_000, kind: 'hang', replica: 'pool/0' },
    ],
  }),
}

const seed = 7

async function play(
  name: string,
  strike: Strike | null,
): Promise<{ result: SimulationResult; calls: readonly string[] }> {
  const sweep = new Sweep(strike)
  const scenario = scenarios[name]
  if (scenario === undefined) throw new Error(`No scenario ${name}`)
  return { result: await simulate({ seed, scenario, sweep }), calls: sweep.calls }
}

/** What may befall a call. A host reports what went wrong as an observation: `apply` itself cannot fail. */
function mishapsOf(call: string): readonly Mishap[] {
  return call.startsWith('host ') ? ['killed_before', 'killed_after'] : ['killed_before', 'killed_after', 'fails']
}

function again(name: string, { call, mishap }: Strike): string {
  return `SIM_SWEEP=${name},${call},${mishap} npx vitest run test/sim/sweep.test.ts`
}

async function failureOf(name: string, strike: Strike): Promise<string | null> {
  const { result, calls } = await play(name, strike)
  if (result.violations.length === 0) return null
  const what = `${name}: call ${strike.call} (${calls[strike.call - 1]}) ${strike.mishap}`
  return `${what}\n${describeFailure(result, again(name, strike))}`
}

/** `SIM_SWEEP=scenario,call,mishap` plays one strike again. */
const { SIM_SWEEP: asked } = process.env
const [name = '', call, mishap] = asked?.split(',') ?? []
if (asked !== undefined)
  test(`the asked strike ${asked} breaks no rule`, async () => {
    expect(await failureOf(name, { call: Number(call), mishap: mishap as Mishap })).toBeNull()
  })

/** Failures shown in full; more would only be the same again. */
const mostShown = 3

test.each(asked === undefined ? Object.keys(scenarios) : [])(
  'sweep of %s: whichever call the supervisor is killed at or fails, no rule is broken and everything drains',
  { timeout: 120_000 },
  async (each) => {
    const { result, calls } = await play(each, null)
    const untouched: Strike = { call: 0, mishap: 'killed_before' }
    expect(result.violations.length === 0 ? '' : describeFailure(result, again(each, untouched))).toBe('')
    const failures: string[] = []
    for (const [at, called] of calls.entries())
      for (const mishap of mishapsOf(called)) {
        const failure = await failureOf(each, { call: at + 1, mishap })
        if (failure !== null) failures.push(failure)
      }
    const shown = failures.slice(0, mostShown)
    expect(failures.length === 0 ? '' : `${failures.length} strikes broke a rule\n${shown.join('\n\n')}`).toBe('')
  },
)
