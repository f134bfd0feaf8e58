import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Node, startNode } from '../compose.ts'
import { resolveConfig } from '../config/index.ts'
import type { ReplicaName } from '../model/ids.ts'
import type { Incident } from '../model/incident.ts'
import { createDemoWorld, type DemoWorld } from './demo-world.ts'

const pool = 'support'
const agent = fileURLToPath(new URL('../../examples/demo/agents/support.ts', import.meta.url))
/** How often a case comes in, and how long one hurt may take to heal, ms. */
const caseEveryMs = 150
const healWithinMs = 40_000
const questions = ['where is my parcel', 'I want a refund', 'how do I reset my password'] as const

export interface DemoIo {
  readonly out: (line: string) => void
  readonly signal: AbortSignal
  readonly port: number
  /** Ends after the five hurts instead of going on until Ctrl-C. */
  readonly once: boolean
  readonly token: string
}

interface Hurt {
  readonly name: string
  /** Does the damage; returns what identifies its incident. */
  readonly inflict: (demo: Demo) => Promise<void>
  readonly heals: (incident: Incident) => boolean
}

interface Demo {
  readonly door: Node['door']
  readonly world: DemoWorld
  readonly submitted: string[]
}

const hurts: readonly Hurt[] = [
  {
    name: 'SIGKILL of a replica in mid-task',
    inflict: (demo) => signalBusy(demo, 'SIGKILL'),
    heals: (incident) => incident.fault.kind === 'crashed' && mended(incident),
  },
  {
    name: 'an endless loop',
    inflict: (demo) => submit(demo, 'loop'),
    heals: (incident) => incident.fault.kind === 'unresponsive' && mended(incident),
  },
  {
    name: 'SIGSTOP of a replica in mid-task',
    inflict: (demo) => signalBusy(demo, 'SIGSTOP'),
    heals: (incident) => incident.fault.kind === 'unresponsive' && mended(incident),
  },
  {
    name: 'a promise that never resolves',
    inflict: (demo) => submit(demo, 'hang'),
    heals: (incident) => incident.fault.kind === 'stalled' && mended(incident),
  },
  {
    name: 'a crash that follows one task',
    inflict: (demo) => submit(demo, 'crash'),
    heals: (incident) => incident.fault.kind === 'poison',
  },
]

/** Runs a pool, hurts it five ways, and prints how it healed. Returns the exit code. */
export async function runDemo(io: DemoIo): Promise<number> {
  const world = await createDemoWorld()
  const folder = await mkdtemp(join(tmpdir(), 'prunella-demo-'))
  const quiet = {
    info: () => undefined,
    warn: () => undefined,
    error: (_facts: unknown, message: string) => io.out(`! ${message}`),
  }
  const node = await startNode(configOf(folder, world, io.port), { token: io.token, log: quiet })
  const demo: Demo = { door: node.door, world, submitted: [] }
  io.out(`A pool of three replicas is starting. Watch it live: ${node.url}/#token=${io.token}`)
  const over = new AbortController()
  io.signal.addEventListener('abort', () => over.abort(), { once: true })
  const stream = submitForEver(demo, over.signal)
  try {
    const healed = await hurtInTurn(demo, io, over.signal)
    if (!io.signal.aborted && !io.once) {
      await scorecard(demo, io, healed)
      io.out('Cases go on coming in. Ctrl-C drains and ends.')
      await aborted(io.signal)
    }
    over.abort()
    await stream
    await settled(demo)
    const good = await scorecard(demo, io, healed)
    return good || healed.length < hurts.length ? 0 : 1
  } finally {
    over.abort()
    await stream
    io.out('Draining.')
    await node.stop()
    await world.close()
    await rm(folder, { recursive: true, force: true })
  }
}

function configOf(folder: string, world: DemoWorld, port: number) {
  const raw = {
    http: { port },
    pools: {
      [pool]: {
        agent,
        replicas: { min: 3, max: 4 },
        deadlines: { tool: '2s', step: '10s' },
        recovery: { probation: '5s' },
        environment: { set: { OPENAI_BASE_URL: world.modelUrl, SINK_URL: world.sinkUrl } },
      },
    },
    shutdown: '10s',
  }
  return resolveConfig(raw, { root: folder, stateFolder: join(folder, '.prunella'), env: {}, fileExists: () => true })
}

async function hurtInTurn(demo: Demo, io: DemoIo, signal: AbortSignal): Promise<readonly string[]> {
  const healed: string[] = []
  await until(() => demo.door.replicas().filter((replica) => replica.ready).length === 3, signal)
  for (const hurt of hurts) {
    if (signal.aborted) break
    const before = new Set((await allIncidents(demo)).map((incident) => incident.id + String(incident.recoveredMs)))
    await hurt.inflict(demo)
    let found: Incident | undefined
    await until(
      async () => {
        found = (await allIncidents(demo)).find(
          (incident) => !before.has(incident.id + String(incident.recoveredMs)) && hurt.heals(incident),
        )
        return found !== undefined
      },
      AbortSignal.any([signal, AbortSignal.timeout(healWithinMs)]),
    )
    if (found === undefined) {
      if (!signal.aborted) io.out(`✗ ${hurt.name}: not healed within ${healWithinMs / 1000} s`)
      continue
    }
    healed.push(hurt.name)
    io.out(lineOf(hurt.name, found))
    await until(
      () => demo.door.replicas().filter((replica) => replica.ready).length >= 3,
      AbortSignal.any([signal, AbortSignal.timeout(healWithinMs)]),
    )
  }
  return healed
}

function lineOf(name: string, incident: Incident): string {
  const detected = ((incident.detectedMs - incident.firstSignMs) / 1000).toFixed(2)
  const recovered = (((incident.recoveredMs ?? incident.detectedMs) - incident.detectedMs) / 1000).toFixed(2)
  const done = [...new Set(incident.actions.map((action) => action.kind.replace('_', ' ')))].join(', ')
  const where = incident.fault.evidence.find((text) => text.startsWith('stuck at'))
  return `✓ ${name}: ${incident.fault.kind}, culprit ${incident.fault.culprit}; detected after ${detected} s, recovered in ${recovered} s by ${done}${where === undefined ? '' : ` (${where})`}`
}

/** Tasks lost and effects accepted twice, counted from the store and the sink's own log. */
async function scorecard(demo: Demo, io: DemoIo, healed: readonly string[]): Promise<boolean> {
  const counts = { done: 0, dead_letter: 0, open: 0, other: 0, lost: 0 }
  for (const id of demo.submitted) {
    const task = await demo.door.task(id)
    if (task === null) counts.lost++
    else if (task.status === 'done' || task.status === 'dead_letter') counts[task.status]++
    else if (['queued', 'scheduled', 'leased', 'returning', 'held'].includes(task.status)) counts.open++
    else counts.other++
  }
  const { accepted, repeated, stale } = demo.world.sink
  const twice = accepted.length - new Set(accepted).size
  io.out(
    `${healed.length} of ${hurts.length} hurts detected and healed. ${demo.submitted.length} tasks: ${counts.done} done, ${counts.dead_letter} dead-lettered, ${counts.open} under way, ${counts.other} failed, ${counts.lost} tasks lost.`,
  )
  io.out(
    `${accepted.length} effects accepted, ${twice} effects accepted twice (${repeated} repetitions and ${stale} stale ones refused by key and fence).`,
  )
  return healed.length === hurts.length && counts.lost === 0 && counts.other === 0 && twice === 0
}

function mended(incident: Incident): boolean {
  return incident.recoveredMs !== null
}

async function allIncidents(demo: Demo): Promise<readonly Incident[]> {
  return (await demo.door.incidents({ limit: 50 })).rows
}

async function submit(demo: Demo, hurt: 'loop' | 'hang' | 'crash' | null): Promise<void> {
  const question = questions[demo.submitted.length % questions.length] ?? questions[0]
  const [outcome] = await demo.door.submit(pool, [
    { input: hurt === null ? { question } : { question, hurt }, priority: hurt === null ? 0 : 10 },
  ])
  if (outcome?.kind === 'created') demo.submitted.push(outcome.id)
}

async function submitForEver(demo: Demo, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await submit(demo, null)
    await pause(caseEveryMs, signal)
  }
}

async function signalBusy(demo: Demo, signal: NodeJS.Signals): Promise<void> {
  let victim: { readonly name: ReplicaName; readonly pid: number } | undefined
  await until(() => {
    const busy = demo.door
      .replicas()
      .find((replica) => replica.ready && replica.pid !== null && replica.tasks.some((task) => task.runningMs > 0))
    if (busy !== undefined && busy.pid !== null) victim = { name: busy.name, pid: busy.pid }
    return victim !== undefined
  }, AbortSignal.timeout(healWithinMs))
  if (victim !== undefined) process.kill(victim.pid, signal)
}

async function settled(demo: Demo): Promise<void> {
  const open = (): boolean => demo.door.pools().some(({ active, depth }) => active + depth.queued + depth.scheduled > 0)
  await until(() => !open(), AbortSignal.timeout(healWithinMs))
}

async function until(condition: () => boolean | Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !(await condition())) await pause(50, signal)
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((error: unknown) => {
    if (!(error instanceof Error) || error.name !== 'AbortError') throw error
  })
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
