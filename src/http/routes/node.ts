import { z } from 'zod'
import { isValidName, parseReplicaName } from '../../model/ids.ts'
import { limits } from '../../model/limits.ts'
import { createEventStream } from '../events.ts'
import { openApi } from '../openapi.ts'
import { renderAudit, renderDependency, renderNode } from '../render.ts'
import { notFound, type Route, route } from '../route.ts'

export function nodeRoutes(all: () => readonly Route[]): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/api/v1/dependencies',
      role: 'read',
      summary: 'What replicas share, and whether it answers.',
      run: ({ door }) => ({ body: { dependencies: door.dependencies().map(renderDependency) } }),
    }),
    route({
      method: 'GET',
      path: '/api/v1/why/*',
      role: 'read',
      summary: 'One paragraph about a replica, a task, an incident, or `last`.',
      run: async ({ door }, { params: { '*': subject = '' } }) => {
        const known = isValidName(subject) || parseReplicaName(subject) !== null
        const explanation = known ? await door.why(subject) : null
        if (explanation === null) throw notFound(`replica, task or incident ${subject}`)
        return { body: explanation }
      },
    }),
    route({
      method: 'GET',
      path: '/api/v1/audit',
      role: 'read',
      summary: 'Operator actions, newest first: who, what, why.',
      query: z.strictObject({ limit: z.coerce.number().int().min(1).max(limits.pageRows).default(50) }),
      run: async ({ door }, { query: { limit } }) => ({ body: { audit: (await door.audit(limit)).map(renderAudit) } }),
    }),
    route({
      method: 'GET',
      path: '/api/v1/node',
      role: 'read',
      summary: 'This node: its last sweep, its lag, its blind spots.',
      run: ({ door }) => ({ body: renderNode(door.node()) }),
    }),
    {
      ...route({
        method: 'GET',
        path: '/api/v1/events',
        role: 'read',
        summary: 'All state changes as server-sent events, resumable with Last-Event-ID.',
        run: () => ({ body: null }),
      }),
      stream: createEventStream(),
    },
    route({
      method: 'GET',
      path: '/metrics',
      role: 'read',
      summary: 'Prometheus metrics.',
      run: async ({ door }) => ({ body: await door.metrics(), type: 'text/plain; version=0.0.4; charset=utf-8' }),
    }),
    route({
      method: 'GET',
      path: '/api/openapi.json',
      role: 'read',
      summary: 'This document.',
      run: () => ({ body: openApi(all()) }),
    }),
  ]
}
