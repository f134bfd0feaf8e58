import type { IncomingMessage, ServerResponse } from 'node:http'
import { parseReplicaName } from '../model/ids.ts'
import type { ProbeKind } from '../model/probe.ts'
import type { Clock } from '../port/clock.ts'
import type { NodeDoor } from '../port/node.ts'
import { safeHeaders, sendProblem } from './problem.ts'

export const healthPrefix = '/health/'
export const healthKinds: readonly ProbeKind[] = ['liveness', 'readiness', 'startup']

/**
 * Answers a probe on the bare request: kubelets and balancers ask often, and must
 * get their answer from a node that is busy. Without a token the reasons are left out.
 */
export function answerHealth(
  { door, clock }: { readonly door: NodeDoor; readonly clock: Clock },
  request: IncomingMessage,
  response: ServerResponse,
  mayRead: boolean,
): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    const detail = 'A health endpoint answers GET and HEAD.'
    sendProblem(response, { status: 405, code: 'PRUNELLA_INVALID', detail, headers: { allow: 'GET, HEAD' } })
    return
  }
  const startMs = clock.nowMs()
  const url = request.url ?? ''
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  const kind = healthKinds.find((known) => path === healthPrefix + known)
  const scope = mark === -1 ? {} : scopeOf(url.slice(mark))
  const report = kind === undefined || scope === null ? null : door.health(kind, scope)
  if (report === null) {
    sendProblem(response, {
      status: 404,
      code: 'PRUNELLA_NOT_FOUND',
      detail: 'There is no such probe, pool or replica.',
    })
    return
  }
  const latencyMs = Math.round((report.latencyMs + clock.nowMs() - startMs) * 100) / 100
  const checks = mayRead ? report.checks : withoutReasons(report.checks)
  const text = JSON.stringify({ status: report.status, latencyMs, checks })
  response.writeHead(report.status === 'unhealthy' ? 503 : 200, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    ...safeHeaders,
  })
  response.end(request.method === 'HEAD' ? undefined : text)
}

/** Null for what cannot exist. */
function scopeOf(search: string): { readonly pool?: string; readonly replica?: string } | null {
  const query = new URLSearchParams(search)
  const pool = query.get('pool')
  const replica = query.get('replica')
  if (replica !== null) {
    // `support/3`, or `3` beside `pool=support`.
    const name = replica.includes('/') || pool === null ? replica : `${pool}/${replica}`
    return parseReplicaName(name) === null ? null : { replica: name }
  }
  return pool === null ? {} : { pool }
}

function withoutReasons(checks: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(checks).map(([name, text]) => [name, /^[a-z]+/.exec(text)?.[0] ?? 'failed']))
}
