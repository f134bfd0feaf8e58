import { type ChaosFault, chaosFaults, chaosTable } from '../../model/chaos.ts'
import { parseReplicaName } from '../../model/ids.ts'
import type { Json } from '../../model/json.ts'
import { type Skipped, showFaults, showScorecard } from '../chaos-lines.ts'
import { Load } from '../chaos-load.ts'
import { isHealed, type Score, scoreOf, type Trial } from '../chaos-score.ts'
import type { Client } from '../client.ts'
import type { Chaos } from '../command.ts'
import { connect } from '../connect.ts'
import { ApiError, exits } from '../errors.ts'
import type { Io } from '../io.ts'
import type { WireIncident, WireInjection, WirePool } from '../wire.ts'
import { plain, span, toJson } from '../words.ts'

/** A fault that is not over by then has failed: a stalled tool alone may take the two minutes of its deadline. */
const patienceMs = 300_000
/** Incidents looked at: the newest. More than one fault and its consequences have. */
const incidentsRead = 100
/** Tasks under way for each place of the pool: the next is there when one has ended. And at most. */
const tasksPerPlace = 2
const tasksAtOnce = 50

export async function run(command: Chaos, io: Io): Promise<number> {
  const { fault } = command
  if (fault === null) {
    if (command.json) io.out(toJson({ faults: chaosFaults.map((name) => ({ name, ...chaosTable[name] })) }))
    else for (const line of showFaults(io.color)) io.out(line)
    return exits.done
  }
  const client = await connect(command, io)
  const pool = command.pool ?? parseReplicaName(command.replica ?? '')?.pool ?? ''
  const load = command.input === undefined ? null : await loadOf(client, pool, JSON.parse(command.input))
  const scores: Score[] = []
  const skipped: Skipped[] = []
  for (const one of fault === 'all' ? chaosFaults : [fault]) {
    const score = await tryOne(one, command, { client, pool, load, io }).catch((error: unknown) => {
      // What this pool cannot have is no reason not to try the rest.
      if (fault !== 'all' || !(error instanceof ApiError) || error.code !== 'PRUNELLA_INVALID') throw error
      skipped.push({ fault: one, why: error.message })
      return null
    })
    io.progress?.(null)
    if (score !== null) scores.push(score)
    if (score !== null && fault === 'all' && io.progress === null) io.err(sayOne(score))
  }
  const isRight = scores.length > 0 && scores.every(({ wrong }) => wrong.length === 0)
  if (command.json) io.out(toJson({ right: isRight, faults: scores, skipped }))
  else for (const line of showScorecard(scores, skipped, io.color)) io.out(plain(line))
  return isRight ? exits.done : exits.failed
}

function sayOne({ fault, wrong }: Score): string {
  return plain(`${fault}: ${wrong.length === 0 ? 'right' : wrong.join('; ')}`)
}

interface Running {
  readonly client: Client
  readonly pool: string
  /** Null: others keep the pool busy. */
  readonly load: Load | null
  readonly io: Io
}

/** Injects one fault, waits until it is healed, and takes back the strikes that it brought. */
async function tryOne(fault: ChaosFault, command: Chaos, running: Running): Promise<Score> {
  const { client, pool, load } = running
  const places = await placesOf(client, pool)
  load?.begin()
  await load?.fill(places)
  const { replica, dependency, forMs, reason = 'prunella chaos' } = command
  const { id } = await client.post<WireInjection>('/api/v1/chaos', {
    ...{ fault, reason },
    ...(replica === undefined ? { pool } : { replica }),
    ...(dependency === undefined ? {} : { dependency }),
    ...(forMs === undefined ? {} : { for: forMs }),
  })
  const trial = await follow(fault, id, places, running)
  const victims = new Set(trial.injection.strikes.flatMap((strike) => strike.replica ?? []))
  for (const victim of victims)
    await client.post(`/api/v1/replicas/${victim}/absolve`, { reason: `it was prunella chaos: ${fault}` })
  return scoreOf(trial)
}

/** Keeps the pool busy until the fault is healed, then lets what is under way end. */
async function follow(fault: ChaosFault, id: string, places: number, running: Running): Promise<Trial> {
  const { client, pool, load, io } = running
  const over = new AbortController()
  try {
    for await (const _ of io.eachSecond(over.signal)) {
      await load?.look()
      const seen = await look(client, id, pool)
      const sinceMs = seen.nowMs - Date.parse(seen.injection.at)
      const trial = { ...seen, tasks: load?.tasks ?? null, gaveUp: sinceMs > patienceMs }
      if (trial.gaveUp) return trial
      const healed = isHealed(seen, seen.nowMs)
      io.progress?.(`${fault}: ${sayState(seen, healed)} (${span(Math.max(0, sinceMs))})`)
      if (!healed) await load?.fill(places)
      else if ((load?.isSettled ?? true) && (await isWhole(client, pool))) return trial
    }
  } finally {
    over.abort()
  }
  throw new ApiError(`The wait for ${fault} was cut short.`)
}

function sayState({ injection, incidents }: Pick<Trial, 'injection' | 'incidents'>, healed: boolean): string {
  if (injection.strikes.length === 0) return 'waits for a task to strike'
  if (healed) return 'healed; its tasks end'
  return incidents.length === 0 ? 'struck, not noticed yet' : 'noticed, being mended'
}

interface Seen {
  readonly injection: WireInjection
  readonly incidents: readonly WireIncident[]
  readonly nowMs: number
}

async function look(client: Client, id: string, pool: string): Promise<Seen> {
  const { injections } = await client.get<{ readonly injections: readonly WireInjection[] }>('/api/v1/chaos')
  const injection = injections.find((one) => one.id === id)
  if (injection === undefined) throw new ApiError('The node has forgotten what it injected: was it started again?')
  const { incidents } = await client.get<{ readonly incidents: readonly WireIncident[] }>('/api/v1/incidents', {
    limit: incidentsRead,
  })
  const sinceMs = Date.parse(injection.strikes[0]?.at ?? '')
  const isOurs = (one: WireIncident): boolean =>
    (one.pool === pool || one.pool === null) &&
    one.fault.kind !== 'operator' &&
    (Date.parse(one.detectedAt) >= sinceMs || one.actions.some(({ at }) => Date.parse(at) >= sinceMs))
  return { injection, incidents: incidents.filter(isOurs), nowMs: await nowOf(client) }
}

async function poolOf(client: Client, name: string): Promise<WirePool> {
  const { pools } = await client.get<{ readonly pools: readonly WirePool[] }>('/api/v1/pools')
  const pool = pools.find((one) => one.name === name)
  if (pool === undefined)
    throw new ApiError(`There is no pool ${name}. Pools: ${pools.map((one) => one.name).join(', ')}.`)
  return pool
}

async function isWhole(client: Client, name: string): Promise<boolean> {
  const { phases, wanted } = await poolOf(client, name)
  return (phases['ready'] ?? 0) >= wanted
}

/** Tasks to keep under way. */
async function placesOf(client: Client, name: string): Promise<number> {
  const { wanted } = await poolOf(client, name)
  return Math.min(tasksAtOnce, Math.max(1, wanted) * tasksPerPlace)
}

async function loadOf(client: Client, pool: string, input: Json): Promise<Load> {
  const nowMs = await nowOf(client)
  return new Load(client, pool, input, `chaos-${nowMs}`)
}

/** The node's own clock, at most a second late: the strikes' times are of the same. */
async function nowOf(client: Client): Promise<number> {
  const { lastSweepAt } = await client.get<{ readonly lastSweepAt: string }>('/api/v1/node')
  return Date.parse(lastSweepAt)
}
