import type { ServerResponse } from 'node:http'
import type { z } from 'zod'
import { PrunellaError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Clock } from '../port/clock.ts'
import type { NodeDoor } from '../port/node.ts'
import type { Role } from './auth.ts'

/** One request, checked. */
export interface Call<Query, Body> {
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly body: Body
  /** For the ledger. */
  readonly who: string
  readonly lastEventId: string | null
  /** Aborts when the caller has gone, or the server closes. */
  readonly signal: AbortSignal
}

export interface Answer {
  /** Default 200. */
  readonly status?: number
  /** An object goes out as JSON, a text as it is with `type`. */
  readonly body: unknown
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** What handlers work on. */
export interface Context {
  readonly door: NodeDoor
  readonly clock: Clock
}

/** One line of the API: the router, the OpenAPI document and the test of all roles are made from these. */
export interface Route {
  readonly method: 'GET' | 'POST'
  /** `:name` is a parameter, a last `*` the rest of the path. */
  readonly path: string
  /** Who may call it at least. */
  readonly role: Role
  readonly summary: string
  readonly query?: z.ZodType
  readonly body?: z.ZodType
  readonly run: (context: Context, call: Call<unknown, unknown>) => Promise<Answer>
  /** Instead of an answer: writes events until the caller goes. */
  readonly stream?: (context: Context, call: Call<unknown, unknown>, response: ServerResponse) => void
}

interface TypedRoute<Query extends z.ZodType, Body extends z.ZodType> {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly role: Role
  readonly summary: string
  readonly query?: Query
  readonly body?: Body
  readonly run: (context: Context, call: Call<z.output<Query>, z.output<Body>>) => Answer | Promise<Answer>
}

/** A route whose handler gets what its schemas let through. */
export function route<Query extends z.ZodType, Body extends z.ZodType>(typed: TypedRoute<Query, Body>): Route {
  const { query, body, run, ...rest } = typed
  return {
    ...rest,
    ...(query === undefined ? {} : { query }),
    ...(body === undefined ? {} : { body }),
    run: async (context, call) =>
      run(context, {
        params: call.params,
        query: check(query, call.query, 'query'),
        body: check(body, call.body, 'body'),
        who: call.who,
        lastEventId: call.lastEventId,
        get signal() {
          return call.signal
        },
      }),
  }
}

/** @throws PrunellaError PRUNELLA_INVALID naming each field that does not fit. */
function check<Schema extends z.ZodType>(schema: Schema | undefined, value: unknown, where: string): z.output<Schema> {
  if (schema === undefined) return undefined as z.output<Schema>
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issues = result.error.issues
    .slice(0, 10)
    .map(({ path, message }) => `${[where, ...path].join('.')}: ${message}`)
  throw new PrunellaError('PRUNELLA_INVALID', issues.join('; ').slice(0, limits.errorTextLength))
}

export function notFound(what: string): PrunellaError {
  return new PrunellaError('PRUNELLA_NOT_FOUND', `There is no ${what.slice(0, 200)}.`)
}
