import { z } from 'zod'
import { isValidName, parseReplicaName, type ReplicaName, replicaName } from '../../model/ids.ts'
import type { OperatorCommand } from '../../model/observation.ts'
import { renderLog, renderPool, renderReplica } from '../render.ts'
import { notFound, type Route, route } from '../route.ts'
import { operatorBody, reasonOf, throwUnless } from './shared.ts'

type Params = Readonly<Record<string, string>>

export const poolRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/api/v1/pools',
    role: 'read',
    summary: 'Pools: sizes, queue, health, hold.',
    run: ({ door }) => ({ body: { pools: door.pools().map(renderPool) } }),
  }),
  route({
    method: 'GET',
    path: '/api/v1/replicas',
    role: 'read',
    summary: 'Replicas: phase, incarnation, clocks, strikes, tasks.',
    query: z.strictObject({ pool: z.string().optional() }),
    run: ({ door }, { query: { pool } }) => {
      const replicas = door.replicas().filter((replica) => pool === undefined || replica.pool === pool)
      return { body: { replicas: replicas.map(renderReplica) } }
    },
  }),
  route({
    method: 'GET',
    path: '/api/v1/replicas/:pool/:n',
    role: 'read',
    summary: 'One replica.',
    run: ({ door }, { params }) => {
      const name = nameOf(params)
      const replica = door.replicas().find((one) => one.name === name)
      if (replica === undefined) throw notFound(`replica ${name}`)
      return { body: renderReplica(replica) }
    },
  }),
  route({
    method: 'GET',
    path: '/api/v1/replicas/:pool/:n/logs',
    role: 'read',
    summary: 'The newest captured output lines of a replica.',
    run: ({ door }, { params }) => {
      const name = nameOf(params)
      if (!door.replicas().some((one) => one.name === name)) throw notFound(`replica ${name}`)
      return { body: { replica: name, lines: door.logs(name).map(renderLog) } }
    },
  }),
  route({
    method: 'POST',
    path: '/api/v1/replicas/:pool/:n/restart',
    role: 'operate',
    summary: 'Restart a replica: soft clears its context, hard replaces its process.',
    body: z.strictObject({ kind: z.enum(['soft', 'hard']).default('hard'), ...operatorBody }).optional(),
    run: async ({ door }, { params, body, who }) => {
      const command = { kind: 'restart', replica: nameOf(params), rung: body?.kind ?? 'hard' } as const
      return throwUnless(await door.operate(command, who, reasonOf(body)))
    },
  }),
  operation(
    '/api/v1/replicas/:pool/:n/drain',
    'Let a replica finish its tasks, then replace its process.',
    (params) => ({
      kind: 'drain',
      replica: nameOf(params),
    }),
  ),
  operation(
    '/api/v1/replicas/:pool/:n/quarantine',
    'Take a replica out of its pool for a person to look at.',
    (params) => ({
      kind: 'quarantine',
      replica: nameOf(params),
    }),
  ),
  operation('/api/v1/replicas/:pool/:n/release', 'Bring a replica back from quarantine.', (params) => ({
    kind: 'release',
    replica: nameOf(params),
  })),
  operation('/api/v1/replicas/:pool/:n/absolve', "Take back a replica's strikes: it was not at fault.", (params) => ({
    kind: 'absolve',
    replica: nameOf(params),
  })),
  operation('/api/v1/pools/:pool/hold', 'Stop handing out tasks of a pool.', (params) => ({
    kind: 'hold',
    pool: poolOf(params),
  })),
  route({
    method: 'POST',
    path: '/api/v1/pools/:pool/resume',
    role: 'operate',
    summary: 'End the hold of a pool. With force, also take for mended what it depends on.',
    body: z.strictObject({ force: z.boolean().default(false), ...operatorBody }).optional(),
    run: async ({ door }, { params, body, who }) => {
      const command = {
        kind: 'resume',
        pool: poolOf(params),
        ...(body?.force === true ? { force: true } : {}),
      } as const
      return throwUnless(await door.operate(command, who, reasonOf(body)))
    },
  }),
  route({
    method: 'POST',
    path: '/api/v1/pools/:pool/scale',
    role: 'operate',
    summary: 'Set the wanted size of a pool, between its min and max.',
    body: z.strictObject({ replicas: z.int().min(0).max(1_000), ...operatorBody }),
    run: async ({ door }, { params, body, who }) => {
      const command = { kind: 'scale', pool: poolOf(params), replicas: body.replicas } as const
      return throwUnless(await door.operate(command, who, reasonOf(body)))
    },
  }),
]

function operation(path: string, summary: string, commandOf: (params: Params) => OperatorCommand): Route {
  return route({
    method: 'POST',
    path,
    role: 'operate',
    summary,
    body: z.strictObject(operatorBody).optional(),
    run: async ({ door }, { params, body, who }) =>
      throwUnless(await door.operate(commandOf(params), who, reasonOf(body))),
  })
}

function nameOf({ pool = '', n = '' }: Params): ReplicaName {
  const parsed = parseReplicaName(`${pool}/${n}`)
  if (parsed === null) throw notFound(`replica ${pool}/${n}`)
  return replicaName(parsed.pool, parsed.index)
}

function poolOf({ pool = '' }: Params): string {
  if (!isValidName(pool)) throw notFound(`pool ${pool}`)
  return pool
}
