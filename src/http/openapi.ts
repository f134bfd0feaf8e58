import { z } from 'zod'
import { healthKinds, healthPrefix } from './health.ts'
import type { Route } from './route.ts'

/** The OpenAPI document of these routes and the probes. */
export function openApi(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}').replace('*', '{subject}')
    const operations = paths[path] ?? {}
    operations[route.method.toLowerCase()] = operationOf(route, path)
    paths[path] = operations
  }
  for (const kind of healthKinds) paths[healthPrefix + kind] = { get: probeOperation(kind) }
  return {
    openapi: '3.1.0',
    info: { title: 'Prunella', version: '1' },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Problem: {
          type: 'object',
          properties: Object.fromEntries(['type', 'title', 'detail', 'code'].map((name) => [name, { type: 'string' }])),
          required: ['type', 'title', 'status', 'detail', 'code'],
        },
      },
    },
  }
}

function operationOf({ role, summary, query, body }: Route, path: string): object {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  const inQuery = Object.entries((query && jsonSchema(query).properties) ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    schema,
  }))
  return {
    summary,
    'x-role': role,
    parameters: [...inPath, ...inQuery],
    ...(body === undefined ? {} : { requestBody: { content: { 'application/json': { schema: jsonSchema(body) } } } }),
    responses: {
      '2XX': { description: 'Done' },
      default: {
        description: 'Refused',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  }
}

function probeOperation(kind: string): object {
  return {
    summary: `The ${kind} probe of the node, a pool or a replica.`,
    security: [],
    parameters: ['pool', 'replica'].map((name) => ({ name, in: 'query', schema: { type: 'string' } })),
    responses: { '200': { description: 'healthy or degraded' }, '503': { description: 'unhealthy' } },
  }
}

function jsonSchema(schema: z.ZodType): z.core.JSONSchema.BaseSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return rest
}
