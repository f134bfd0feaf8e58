import { createHmac } from 'node:crypto'
import { type IncomingMessage, request as plainRequest } from 'node:http'
import { request as secureRequest } from 'node:https'
import { limits } from '../../model/limits.ts'
import type { Notification, NotifierSpec } from '../../model/notification.ts'
import type { SendOutcome } from '../../port/notifier.ts'
import { checkLiteral, connectRule, ForbiddenAddressError, guardedLookup, type Resolve } from './address.ts'

export type WebhookSpec = Extract<NotifierSpec, { readonly kind: 'webhook' }>

/** The body itself is refused: the same again would be too. */
const refusedStatuses: readonly number[] = [400, 410, 413, 422]

/** `t=SECONDS,v1=HEX`: HMAC-SHA256 under `secret` of `SECONDS.BODY`. The time is signed, so that a recorded call grows stale. */
export function signature(secret: string, body: string, atMs: number): string {
  const seconds = Math.floor(atMs / 1_000)
  const mac = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')
  return `t=${seconds},v1=${mac}`
}

/** What is posted. Adding a field is fine; who verifies signs the bytes, not the fields. */
export function webhookBody(notification: Notification): string {
  const { id, incidentId, change, severity, title, text, owner, pool, replica, taskId } = notification
  const { evidence, commands, sequence, atMs } = notification
  const head = { version: 1, id, incidentId, change, severity, title, text, owner, pool, replica, taskId }
  return JSON.stringify({ ...head, evidence, commands, sequence, at: new Date(atMs).toISOString() })
}

/** POSTs one notification. Its time is bounded by the spec's time-out, whatever the other side does. */
export async function sendToWebhook(
  spec: WebhookSpec,
  notification: Notification,
  signal: AbortSignal,
  resolve: Resolve,
): Promise<SendOutcome> {
  const mayConnect = connectRule(spec.allowPrivate)
  const url = new URL(spec.url)
  try {
    checkLiteral(url.hostname, mayConnect)
    return await post(spec, url, webhookBody(notification), notification.id, {
      signal,
      lookup: guardedLookup(mayConnect, resolve),
    })
  } catch (error) {
    if (error instanceof ForbiddenAddressError) return { rejected: error.message }
    return { retry: error instanceof Error ? describe(error) : String(error) }
  }
}

function post(
  spec: WebhookSpec,
  url: URL,
  body: string,
  id: string,
  { signal, lookup }: { readonly signal: AbortSignal; readonly lookup: ReturnType<typeof guardedLookup> },
): Promise<SendOutcome> {
  const bound = AbortSignal.any([signal, AbortSignal.timeout(spec.timeoutMs)])
  const request = url.protocol === 'https:' ? secureRequest : plainRequest
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'user-agent': 'prunella',
    'idempotency-key': id,
    'x-prunella-signature': signature(spec.secret, body, Date.now()),
  }
  return new Promise((settle, reject) => {
    // No agent: a connection of its own each time, so that each passes the check.
    const sent = request(url, { method: 'POST', headers, lookup, agent: false, signal: bound })
    // The status says it all: a reply that never ends, or breaks off, changes nothing.
    let known: SendOutcome | null = null
    sent.on('response', (reply) => {
      const outcome = outcomeOf(reply)
      known = outcome
      readAndCut(reply, () => {
        sent.destroy()
        settle(outcome)
      })
    })
    sent.on('error', (error) => {
      if (known !== null) return settle(known)
      const isLate = bound.aborted && !signal.aborted
      reject(isLate ? new Error(`no answer within ${spec.timeoutMs} ms`) : error)
    })
    sent.end(body)
  })
}

/** Reads a polite amount, so that a receiver which writes its reply is not cut off in it. */
function readAndCut(reply: IncomingMessage, done: () => void): void {
  let readBytes = 0
  reply.on('data', (part: Buffer) => {
    readBytes += part.length
    if (readBytes > limits.webhookReplyBytes) done()
  })
  reply.on('end', done)
  // Its time is up, or it broke off.
  reply.on('error', done)
  reply.on('close', done)
}

/** A redirect is not followed: the address in the configuration is the one that was meant. */
function outcomeOf(reply: IncomingMessage): SendOutcome {
  const status = reply.statusCode ?? 0
  if (status >= 200 && status < 300) return 'sent'
  if (status >= 300 && status < 400)
    return { rejected: `HTTP ${status}: redirects are not followed, set the final url` }
  return refusedStatuses.includes(status) ? { rejected: `HTTP ${status}` } : { retry: `HTTP ${status}` }
}

function describe(error: Error): string {
  if (error.message !== '') return error.message
  // Several addresses, each with an error of its own: the message of the whole is empty.
  return error instanceof AggregateError ? error.errors.map(String).join('; ') : error.name
}
