import { z } from 'zod'
import { isValidName, parseReplicaName } from '../../model/ids.ts'
import { renderIncident } from '../render.ts'
import { notFound, type Route, route } from '../route.ts'
import { page } from './shared.ts'

export const incidentRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/api/v1/incidents',
    role: 'read',
    summary: 'Incidents, newest first.',
    query: page.extend({
      open: z.stringbool().exactOptional(),
      replica: z.string().exactOptional(),
      task: z.string().exactOptional(),
      status: z.enum(['open', 'probation', 'closed', 'needs_review']).exactOptional(),
    }),
    run: async ({ door }, { query: { replica, task, ...query } }) => {
      const name = replica === undefined ? null : parseReplicaName(replica)
      if (replica !== undefined && name === null) throw notFound(`replica ${replica}`)
      const { rows, cursor } = await door.incidents({
        ...query,
        ...(name === null ? {} : { replica: `${name.pool}/${name.index}` }),
        ...(task === undefined ? {} : { taskId: task }),
      })
      return { body: { incidents: rows.map(renderIncident), cursor } }
    },
  }),
  route({
    method: 'GET',
    path: '/api/v1/incidents/:id',
    role: 'read',
    summary: 'One incident with its evidence, actions and time line.',
    run: async ({ door }, { params: { id = '' } }) => {
      const incident = isValidName(id) ? await door.incident(id) : null
      if (incident === null) throw notFound(`incident ${id}`)
      return { body: renderIncident(incident) }
    },
  }),
]
