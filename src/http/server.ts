import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isIP } from 'node:net'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { PrunellaError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import { stripControls } from '../model/redact.ts'
import type { Clock } from '../port/clock.ts'
import type { Log } from '../port/log.ts'
import type { NodeDoor } from '../port/node.ts'
import { type Auth, createAuth, type Identity, isLoopback, mayActAs, type Token } from './auth.ts'
import { parseBody } from './body.ts'
import { createGuard } from './guard.ts'
import { answerHealth, healthPrefix } from './health.ts'
import { pageFiles } from './page.ts'
import { problemOf, problemText, problemType, safeHeaders, sendProblem } from './problem.ts'
import type { Call, Context, Route } from './route.ts'
import { createRoutes } from './routes/index.ts'

export interface HttpOptions {
  readonly door: NodeDoor
  readonly clock: Clock
  readonly log: Log
  readonly host: string
  /** 0 for any free one. */
  readonly port: number
  /** Names under which the server may be called, beside addresses and localhost. */
  readonly names: readonly string[]
  /** Whoever holds none of these may ask for health and nothing else. */
  readonly tokens: readonly Token[]
}

export interface HttpServer {
  /** Where it listens, e.g. `http://127.0.0.1:8080`. */
  readonly url: string
  /** Refuses new connections and cuts what still waits. */
  close(): Promise<void>
}

/**
 * Starts the door for people and programs.
 *
 * @throws PrunellaError PRUNELLA_PORT_TAKEN when another process has the port.
 */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { host, port } = options
  if (options.tokens.length === 0 && !isLoopback(host)) {
    throw new PrunellaError(
      'PRUNELLA_UNAUTHORIZED',
      `Without a token Prunella does not listen on ${host}: it would obey everybody.`,
    )
  }
  const auth = createAuth(options.tokens, options.clock)
  const app = createApp(options, auth)
  const closing = new AbortController()
  for (const one of createRoutes()) addRoute(app, one, options, closing.signal)
  try {
    await app.listen({ host, port })
  } catch (error) {
    await app.close()
    throw listenError(error, host, port)
  }
  return {
    url: urlOf(app.server, host),
    close: async () => {
      closing.abort()
      await app.close()
    },
  }
}

function createApp(options: HttpOptions, auth: Auth): FastifyInstance {
  const guard = createGuard([options.host, ...options.names])
  const app = fastify({
    bodyLimit: limits.batchBytes,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 256, ignoreTrailingSlash: false },
    // Probes are answered before any router: they are asked for often, and stay fast under load.
    serverFactory: (handle) =>
      createServer((request: IncomingMessage, response: ServerResponse) => {
        const refused = guard(request.headers)
        if (refused !== null) sendProblem(response, refused)
        else if (request.url?.startsWith(healthPrefix)) answerHealth(options, request, response, mayRead(auth, request))
        else handle(request, response)
      }),
  })
  app.server.maxConnections = limits.connections
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (_, body, done) => {
    try {
      done(null, parseBody(body))
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
    }
  })
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error)
    if (problem.status >= 500 && problem.code === 'PRUNELLA_INTERNAL') {
      options.log.error({ error, route: request.routeOptions.url ?? 'none' }, 'a request failed')
    }
    return reply
      .code(problem.status)
      .headers({ ...safeHeaders, ...problem.headers })
      .type(problemType)
      .send(problemText(problem))
  })
  app.setNotFoundHandler(async (request) => {
    requireRole(auth, request, 'read')
    throw new PrunellaError(
      'PRUNELLA_NOT_FOUND',
      `There is no ${request.method} route here; /api/openapi.json lists them.`,
    )
  })
  app.decorateRequest('identity', null)
  for (const [path, file] of Object.entries(pageFiles())) {
    app.get(path, async (_, reply) => reply.headers(safeHeaders).type(file.type).send(file.text))
  }
  app.addHook('onRequest', async (request) => {
    const { role } = request.routeOptions.config as { readonly role?: Route['role'] }
    if (role !== undefined) request.identity = requireRole(auth, request, role)
  })
  return app
}

declare module 'fastify' {
  interface FastifyRequest {
    identity: Identity | null
  }
}

function requireRole(auth: Auth, request: FastifyRequest, role: Route['role']): Identity {
  const identity = auth.identify(request.headers.authorization, request.ip)
  if (identity === null) {
    throw new PrunellaError(
      'PRUNELLA_UNAUTHORIZED',
      'Send the token as `Authorization: Bearer …`; it stands in .prunella/token.',
    )
  }
  if (!mayActAs(identity, role)) {
    throw new PrunellaError(
      'PRUNELLA_FORBIDDEN',
      `This needs a token with the role ${role}; this one has ${identity.role}.`,
    )
  }
  return identity
}

/** A wrong token, or too many of them, gets what no token gets. */
function mayRead(auth: Auth, { headers, socket }: IncomingMessage): boolean {
  if (headers.authorization === undefined) return false
  try {
    return auth.identify(headers.authorization, socket.remoteAddress ?? '') !== null
  } catch (error) {
    if (error instanceof PrunellaError) return false
    throw error
  }
}

function addRoute(
  app: FastifyInstance,
  { method, path, role, run, stream }: Route,
  context: Context,
  closing: AbortSignal,
): void {
  app.route({
    method,
    url: path,
    config: { role },
    handler: async (request, reply) => {
      const call = callOf(request, reply, closing)
      if (stream === undefined) {
        const { status = 200, body, type, headers = {} } = await run(context, call)
        return reply
          .code(status)
          .headers({ ...safeHeaders, ...headers })
          .type(type ?? 'application/json; charset=utf-8')
          .send(type === undefined ? JSON.stringify(body) : body)
      }
      stream(context, call, reply.raw)
      return reply.hijack()
    },
  })
}

function callOf(request: FastifyRequest, reply: FastifyReply, closing: AbortSignal): Call<unknown, unknown> {
  const actor = header(request, 'x-prunella-actor')
  const token = `token ${request.identity?.name ?? 'none'}`
  return {
    params: request.params as Readonly<Record<string, string>>,
    query: request.query,
    body: request.body,
    // The name is what the caller says of itself; the token is what we know.
    who: actor === null ? token : `${stripControls(actor).slice(0, 64)} (${token})`,
    lastEventId: header(request, 'last-event-id')?.slice(0, 100) ?? null,
    // Made when asked for: most calls never wait.
    get signal() {
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      return AbortSignal.any([gone.signal, closing])
    },
  }
}

function header({ headers }: FastifyRequest, name: string): string | null {
  const value = headers[name]
  return typeof value === 'string' && value !== '' ? value : null
}

function urlOf(server: Server, host: string): string {
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  // Listening everywhere is no address to call.
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `http://${isIP(name) === 6 ? `[${name}]` : name}:${port}`
}

function listenError(error: unknown, host: string, port: number): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null
  if (code === 'EADDRINUSE') {
    return new PrunellaError(
      'PRUNELLA_PORT_TAKEN',
      `Port ${port} on ${host} is taken by another process. Stop it, or choose another with http.port in the configuration.`,
      { cause: error },
    )
  }
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new PrunellaError(
      'PRUNELLA_PORT_TAKEN',
      `Prunella cannot listen on ${host}:${port} (${code}). Change http.host or http.port in the configuration.`,
      { cause: error },
    )
  }
  return error
}
