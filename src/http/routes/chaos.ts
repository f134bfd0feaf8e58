import { z } from 'zod'
import { chaosFaults } from '../../model/chaos.ts'
import { parseReplicaName, replicaName } from '../../model/ids.ts'
import { limits } from '../../model/limits.ts'
import { renderInjection } from '../render.ts'
import { type Route, route } from '../route.ts'
import { duration, operatorBody, reasonOf } from './shared.ts'

const replica = z.string().transform((text, context) => {
  const parsed = parseReplicaName(text)
  if (parsed !== null) return replicaName(parsed.pool, parsed.index)
  context.addIssue("must be a replica's name such as support/3")
  return z.NEVER
})

const body = z
  .strictObject({
    fault: z.enum(chaosFaults),
    pool: z.string().max(128).exactOptional(),
    replica: replica.exactOptional(),
    dependency: z.string().max(128).exactOptional(),
    for: duration.pipe(z.number().min(1).max(limits.chaosMs)).exactOptional(),
    ...operatorBody,
  })
  .refine(({ pool, replica: name }) => pool !== undefined || name !== undefined, 'names neither a pool nor a replica')

export const chaosRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/api/v1/chaos',
    role: 'operate',
    summary: 'Inject a fault for real. Only of a node started with --chaos.',
    body,
    run: async ({ door }, { body: { for: forMs, reason, ...request }, who }) => {
      const asked = { ...request, reason: reasonOf(reason === undefined ? {} : { reason }) }
      const injection = await door.inject(forMs === undefined ? asked : { ...asked, forMs }, who)
      return { status: 201, body: renderInjection(injection) }
    },
  }),
  route({
    method: 'GET',
    path: '/api/v1/chaos',
    role: 'read',
    summary:
      'Injected faults, newest last, with the moments in which they struck. Only of a node started with --chaos.',
    run: ({ door }) => ({ body: { injections: door.injections().map(renderInjection) } }),
  }),
]
