import type { Json } from '../model/json.ts'
import { ApiError } from './errors.ts'

/** Longer than any answer takes that is not waited for on purpose. */
const answerMs = 30_000
/** One event is an incident at most, and that is bounded; more is not our server. */
const eventLength = 4 * 1024 * 1024

type Query = Readonly<Record<string, string | number | boolean | undefined>>

export interface ServerEvent {
  readonly id: string
  readonly kind: string
  readonly data: unknown
}

/** The node's HTTP API. Every method throws ApiError with a line for a person. */
export interface Client {
  readonly url: string
  /** @param waitMs  How much longer than usual the answer may take, by its nature. */
  get<Answer>(path: string, query?: Query, waitMs?: number): Promise<Answer>
  post<Answer>(path: string, body: Json): Promise<Answer>
  /** `open` once it is connected, then events after `lastEventId`, until the connection or the signal ends. */
  events(lastEventId: string | null, signal: AbortSignal): AsyncGenerator<ServerEvent>
}

export interface ClientOptions {
  /** Without a slash at the end. */
  readonly url: string
  readonly token: string | null
  readonly fetch: typeof fetch
}

export function createClient({ url, token, fetch }: ClientOptions): Client {
  const headers = { accept: 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) }

  async function ask(path: string, init: RequestInit): Promise<Response> {
    const response = await fetch(url + path, { redirect: 'error', ...init }).catch((error: unknown) => {
      throw unreachable(url, error)
    })
    if (response.ok) return response
    throw await refused(url, response)
  }

  async function answer<Answer>(path: string, init: RequestInit): Promise<Answer> {
    const response = await ask(path, init)
    try {
      return (await response.json()) as Answer
    } catch (error) {
      throw error instanceof SyntaxError ? stranger(url, response) : unreachable(url, error)
    }
  }

  return {
    url,
    get: (path, query = {}, waitMs = 0) =>
      answer(path + search(query), { headers, signal: AbortSignal.timeout(answerMs + waitMs) }),
    post: (path, body) =>
      answer(path, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(answerMs),
      }),
    async *events(lastEventId, signal) {
      const response = await ask('/api/v1/events', {
        headers: {
          ...headers,
          accept: 'text/event-stream',
          ...(lastEventId === null ? {} : { 'last-event-id': lastEventId }),
        },
        signal,
      })
      if (response.body === null) throw stranger(url, response)
      yield { id: '', kind: 'open', data: null }
      try {
        yield* readEvents(response.body.pipeThrough(new TextDecoderStream()))
      } catch (error) {
        throw error instanceof ApiError ? error : unreachable(url, error)
      }
    },
  }
}

function search(query: Query): string {
  const given = Object.entries(query).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, String(value)]],
  )
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}

/** @see https://html.spec.whatwg.org/multipage/server-sent-events.html, in the form our server writes. */
async function* readEvents(chunks: AsyncIterable<string>): AsyncGenerator<ServerEvent> {
  let rest = ''
  for await (const chunk of chunks) {
    const blocks = (rest + chunk).split('\n\n')
    rest = blocks.pop() ?? ''
    if (rest.length > eventLength) throw new ApiError('The node sent an event without an end.')
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map((line) => fieldOf(line)))
      const data = fields.get('data')
      if (data === undefined) continue
      yield { id: fields.get('id') ?? '', kind: fields.get('event') ?? 'message', data: JSON.parse(data) as unknown }
    }
  }
}

function fieldOf(line: string): readonly [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon), line.slice(colon + 1).trimStart()]
}

function unreachable(url: string, error: unknown): ApiError {
  const codes = codesOf(error)
  if (codes.includes('ECONNREFUSED'))
    return new ApiError(`no Prunella answers at ${url}: start it with \`prunella up\``, null, { cause: error })
  if (error instanceof Error && error.name === 'TimeoutError')
    return new ApiError(`${url} did not answer in time: is the node busy, or is it something else?`, null, {
      cause: error,
    })
  const why = codes[0] ?? (error instanceof Error ? error.message : String(error))
  return new ApiError(`${url} cannot be reached (${why}): check --url`, null, { cause: error })
}

/** The system's codes in an error and its causes. Fetch wraps one or, for a name with two addresses, several. */
function codesOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return []
  const own = 'code' in error && typeof error.code === 'string' ? [error.code] : []
  const inner = error instanceof AggregateError ? error.errors : [error.cause]
  return [...own, ...inner.flatMap(codesOf)]
}

async function refused(url: string, response: Response): Promise<ApiError> {
  const type = response.headers.get('content-type') ?? ''
  if (!type.startsWith('application/problem+json')) return stranger(url, response)
  const problem = (await response.json().catch((error: unknown) => {
    throw unreachable(url, error)
  })) as { readonly detail?: string; readonly title?: string; readonly code?: string }
  const detail = problem.detail ?? problem.title ?? `status ${response.status}`
  const hint =
    response.status === 401 ? ' Set PRUNELLA_TOKEN or --token; the node keeps its token in .prunella/token.' : ''
  return new ApiError(detail + hint, problem.code ?? null)
}

function stranger(url: string, response: Response): ApiError {
  return new ApiError(`${url} answers, but not as Prunella does (status ${response.status}): check --url`)
}
