import type { ServerResponse } from 'node:http'
import { type ErrorCode, PrunellaError } from '../model/errors.ts'

/** An answer that is not the one asked for: RFC 9457, with our stable `code`. */
export interface Problem {
  readonly status: number
  readonly code: ErrorCode | 'PRUNELLA_INTERNAL'
  readonly detail: string
  readonly headers?: Readonly<Record<string, string>>
}

const statusOf: { readonly [code in ErrorCode]?: number } = {
  PRUNELLA_INVALID: 400,
  PRUNELLA_UNAUTHORIZED: 401,
  PRUNELLA_FORBIDDEN: 403,
  PRUNELLA_NOT_FOUND: 404,
  PRUNELLA_CONFLICT: 409,
  PRUNELLA_TOO_LARGE: 413,
  PRUNELLA_QUEUE_FULL: 429,
  PRUNELLA_TOO_MANY: 429,
  PRUNELLA_SHUTTING_DOWN: 503,
  PRUNELLA_STORE_LOCKED: 503,
  PRUNELLA_STORE_DAMAGED: 503,
  PRUNELLA_STORE_FAILED: 503,
}

const titles: Readonly<Record<number, string>> = {
  400: 'The request cannot be understood',
  401: 'A token is needed',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Not with this method',
  409: 'Not now',
  413: 'Too large',
  415: 'Only application/json',
  429: 'Too many',
  503: 'Not available',
}

export const problemType = 'application/problem+json'

/** What `error` says to a caller. Anything we did not plan says nothing: its text goes to the log. */
export function problemOf(error: unknown): Problem {
  if (error instanceof PrunellaError) {
    const status = statusOf[error.code] ?? 500
    return {
      status,
      code: error.code,
      detail: error.message,
      headers: status === 429 || status === 503 ? { 'retry-after': '1' } : {},
    }
  }
  const status = statusCodeOf(error)
  // Fastify's own refusals: a wrong media type, a body that is too large, a malformed address.
  if (status === 413) return { status, code: 'PRUNELLA_TOO_LARGE', detail: 'The body is larger than this route takes.' }
  if (status === 415)
    return { status, code: 'PRUNELLA_INVALID', detail: 'Send the body with Content-Type: application/json.' }
  if (status >= 400 && status < 500) return { status, code: 'PRUNELLA_INVALID', detail: 'The request is malformed.' }
  return { status: 500, code: 'PRUNELLA_INTERNAL', detail: 'Something went wrong here; the log of the node says what.' }
}

function statusCodeOf(error: unknown): number {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : 500
}

export function problemText({ status, code, detail }: Problem): string {
  return JSON.stringify({ type: 'about:blank', title: titles[status] ?? 'Failed', status, detail, code })
}

/** Answers on a bare response, before any router. */
export function sendProblem(response: ServerResponse, problem: Problem): void {
  response.writeHead(problem.status, { 'content-type': problemType, ...safeHeaders, ...problem.headers })
  response.end(problemText(problem))
}

/** Every answer carries these. The page loads nothing from elsewhere and runs no script that stands in its text. */
export const safeHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
} as const
