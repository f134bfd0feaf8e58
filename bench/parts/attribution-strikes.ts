/** How each kind of fault is done to a real pool: by seed whom, when, how and for how long. */
import { execFileSync } from 'node:child_process'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ChaosFault } from '../../src/model/chaos.ts'
import type { RealName } from './attribution-kinds.ts'
import type { Shape, Stage } from './attribution-stage.ts'
import type { Mood } from './scripted-provider.ts'
import { Spinners } from './spinners.ts'

export interface Plot extends Shape {
  /** Resolves when nothing more is done. */
  readonly strike: (stage: Stage) => Promise<void>
  /** Limits of what the seed may draw. Default: two to four replicas, one or two tasks at a time. */
  readonly replicas?: readonly [number, number]
  readonly concurrency?: readonly [number, number]
  /** What is done before the first process starts. */
  readonly before?: (stage: Stage) => void
  /** Nothing else runs on the machine for this benchmark. */
  readonly alone?: true
}

const limited = { limits: { memory: '160Mi' } } as const
const once = { retry: { attempts: 1 } } as const
const openFiles = 20

/** One of these befalls the victim, in whatever it does next. */
function chaos(faults: readonly ChaosFault[], more: Partial<Plot> = {}, forMs?: number): Plot {
  return {
    ...more,
    async strike(stage) {
      const fault = stage.draw.random.pick(faults)
      if (fault === 'crash' || fault === 'segfault' || fault === 'freeze') await stage.busy()
      await stage.chaos(fault, forMs === undefined ? {} : { for: forMs })
    },
  }
}

/** A task of its own that does this to whoever runs it. */
function carried(deeds: readonly string[], more: Partial<Plot> = {}): Plot {
  return {
    ...more,
    async strike(stage) {
      stage.struck()
      await stage.submit({ do: stage.draw.random.pick(deeds) })
    },
  }
}

const outageMs = [4_000, 9_000] as const

function outage(begin: (stage: Stage) => Promise<void> | void, more: Partial<Plot> = {}): Plot {
  return {
    uses: 'named',
    ...more,
    async strike(stage) {
      stage.struck()
      await begin(stage)
      await sleep(stage.draw.random.between(...outageMs))
      await mend(stage)
    },
  }
}

function mood(to: Mood): Plot {
  return outage(({ provider }) => {
    provider.mood = to
  })
}

async function mend({ provider }: Stage): Promise<void> {
  provider.mood = 'well'
  await provider.refuse()
  await provider.listen()
}

const refuse = ({ provider }: Stage): Promise<void> => provider.refuse()

async function flap(stage: Stage): Promise<void> {
  stage.struck()
  for (let left = stage.draw.random.between(2, 4); left > 0; left--) {
    await stage.provider.refuse()
    await sleep(3_000)
    await mend(stage)
    await sleep(3_000)
  }
}

async function crashAgain(stage: Stage): Promise<void> {
  for (let left = stage.draw.random.between(2, 3); left > 0; left--) {
    await stage.busy()
    await stage.chaos('crash')
    // Another task is in hand next time: the one of now is tried again, perhaps elsewhere.
    await sleep(2_500)
  }
}

/** The task has only this one attempt: it ends its process, or a stranger does. */
async function oneCrash(stage: Stage): Promise<void> {
  const { random, stepMs } = stage.draw
  const isTask = random.chance(0.5)
  const id = await stage.submit(isTask ? { do: 'crash' } : { stepMs: 4 * stepMs })
  const replica = await stage.holder(id)
  if (isTask) return stage.struck()
  await sleep(random.between(0, 100))
  await stage.chaos('crash', { replica })
}

async function crashAndCancel(stage: Stage): Promise<void> {
  const { random } = stage.draw
  stage.wanted = null
  await stage.must(() => stage.isSettled(), 'the pool to have nothing to do', 20_000)
  const isTask = random.chance(0.5)
  const id = await stage.submit(isTask ? { do: 'crash' } : { steps: 100 })
  if (isTask) stage.struck()
  else await stage.chaos('crash', { replica: await stage.holder(id) })
  await stage.must(async () => (await stage.task(id)).attempts[0]?.endedAt != null, 'its attempt to end', 10_000)
  await stage.api.post(`/api/v1/tasks/${id}/cancel`, { reason: 'bench' })
}

async function badStart(stage: Stage): Promise<void> {
  stage.struck()
  await stage.until(async () => (await stage.replicas()).every(({ ready }) => ready), 20_000)
}

function failsTwice({ provider, victim, draw: { random } }: Stage): void {
  let left = 2
  provider.setup = (replica) => (replica === victim && left-- > 0 ? random.pick(['exit', 'no such table']) : 'ok')
}

function failsEverywhere({ provider, draw: { random } }: Stage): void {
  const how = random.pick(['exit', 'no such module'])
  provider.setup = () => how
}

async function pause(stage: Stage): Promise<void> {
  stage.struck()
  process.kill(stage.pid, 'SIGSTOP')
  await sleep(stage.draw.random.between(2_500, 8_000))
  process.kill(stage.pid, 'SIGCONT')
}

/** Somebody else writes into the store's file: longer than it waits, or again and again for less. */
async function lock(stage: Stage, times: number, minMs: number, maxMs: number): Promise<void> {
  const { random } = stage.draw
  const db = new DatabaseSync(stage.storePath, { timeout: 2_000 })
  stage.struck()
  try {
    for (let left = times; left > 0; left--) {
      db.exec('BEGIN IMMEDIATE')
      await sleep(random.between(minMs, maxMs))
      db.exec('ROLLBACK')
      await sleep(200)
    }
  } finally {
    db.close()
  }
}

/** A person restarts a replica while the supervisor may open no file more. */
async function noFiles(stage: Stage): Promise<void> {
  const set = (limit: string): unknown => execFileSync('prlimit', ['--pid', String(stage.pid), `--nofile=${limit}:`])
  const soft = execFileSync('prlimit', ['--pid', String(stage.pid), '--nofile', '--noheadings', '--output=SOFT'])
  stage.struck()
  await stage.api.post(`/api/v1/replicas/${stage.victim}/restart`, { reason: 'bench' })
  set(String(openFiles))
  await sleep(stage.draw.random.between(2_000, 5_000))
  set(soft.toString().trim())
}

async function starve(stage: Stage): Promise<void> {
  const spinners = new Spinners()
  stage.struck()
  spinners.start(16)
  await stage.until(() => false, 10_000)
  spinners.end()
}

async function stallOnce(stage: Stage): Promise<void> {
  const { provider, draw } = stage
  provider.losesNext = draw.random.pick(['answer', 'agent'])
  stage.struck()
  await stage.must(() => provider.losesNext === null, 'a call to lose', 10_000)
}

/** The victim is ill until it is replaced. If it is not, the verdict says so. */
function ill(how: 'cut' | 'heap', more: Partial<Plot> = {}): Plot {
  return {
    uses: 'named',
    ...more,
    async strike(stage) {
      const { incarnation } = await stage.replica()
      stage.provider.ill = { process: `${stage.victim} ${incarnation}`, how }
      stage.struck()
      await stage.until(async () => (await stage.replica()).incarnation > incarnation, 20_000)
    },
  }
}

/** Its server is ended or stopped: connections are refused, or nobody answers. */
async function databaseDown(stage: Stage): Promise<void> {
  const { random } = stage.draw
  const ends = random.chance(0.5)
  stage.struck()
  if (ends) await stage.database.stop()
  else stage.database.freeze()
  await sleep(random.between(...outageMs))
  if (ends) await stage.database.resume()
  else stage.database.thaw()
}

export const plots: Readonly<Record<RealName, Plot>> = {
  crash: chaos(['crash', 'segfault', 'throw', 'exit']),
  out_of_memory: chaos(['memory'], { pool: limited }),
  spinning: chaos(['spin']),
  stopped: chaos(['freeze']),
  stalled_call: chaos(['hang', 'deaf'], {}, 1_000),
  going_in_circles: chaos(['tool-loop', 'tool-cycle', 'same-error', 'talk', 'monologue']),
  protocol_violation: chaos(['garbage']),
  leak: chaos(['leak'], { pool: limited }),
  heap_exhausted: ill('heap', { alone: true }),
  lost_connections: ill('cut'),
  bad_start: { asksForSetup: true, before: failsTwice, strike: badStart },
  repeated_crash: { strike: crashAgain },
  context_grows: chaos(['context']),
  files_leak: chaos(['files']),
  bad_build: { asksForSetup: true, before: failsEverywhere, strike: badStart },
  poison_crash: carried(['crash', 'abort']),
  poison_memory: carried(['memory'], { pool: limited }),
  poison_spin: carried(['spin']),
  poison_garbage: carried(['garbage']),
  stalls_everywhere: carried(['stall']),
  circles_everywhere: carried(['circles']),
  too_large: carried(['overflow', 'overflow_deaf']),
  rejected: carried(['reject']),
  provider_refuses: outage(refuse),
  provider_unnamed: outage(refuse, { uses: 'unnamed' }),
  provider_hangs: mood('hangs'),
  provider_flaps: { uses: 'named', strike: flap },
  provider_limits: mood('limits'),
  provider_overloaded: mood('overloaded'),
  provider_rejects_key: mood('rejects_key'),
  database_down: { alone: true, hasDatabase: true, strike: databaseDown },
  provider_quota: mood('quota'),
  tool_lost: outage(refuse, { someNeedIt: true }),
  supervisor_paused: { apart: true, strike: pause },
  supervisor_slow: { apart: true, strike: (stage) => lock(stage, 10, 300, 1_200) },
  store_fails: { apart: true, strike: (stage) => lock(stage, 1, 3_000, 8_000) },
  starved: { patient: true, alone: true, strike: starve },
  no_processes: { apart: true, strike: noFiles },
  one_crash_no_more: { pool: once, concurrency: [1, 1], strike: oneCrash },
  one_stall_no_witness: { uses: 'named', strike: stallOnce },
  crash_then_cancelled: {
    ...{ replicas: [1, 1], concurrency: [1, 1], strike: crashAndCancel },
    pool: { retry: { attempts: 3, backoff: { base: '3s', jitter: 0 } } },
  },
}
