import type { IncomingHttpHeaders } from 'node:http'
import type { ProviderApi } from '../../model/provider.ts'
import type { RateWords } from '../../policy/gate/gate.ts'
import { isObject, type Loose, parseJson, textIn } from './json.ts'
import type { WireFault } from './types.ts'

/** The providers' and their imitators' ways to say that a conversation is too long. */
const overflow =
  /context_length_exceeded|maximum context length|context (window|length|size)|prompt is too long|input is too long|too many (input |prompt )?tokens|exceeds? the (model'?s? )?(maximum|max|limit)[^.]{0,40}tokens|request_too_large|string_above_max_length/i
const quota = /insufficient_quota|exceeded your current quota|billing|credit balance|spending limit|payment/i
const overloaded = /overloaded|over capacity|temporarily unavailable due to (high )?load|at capacity/i

/** An error answer, understood. */
export function classify(
  api: ProviderApi,
  status: number,
  headers: IncomingHttpHeaders,
  body: Buffer,
  nowMs: number,
): WireFault {
  const { message, said } = readError(body)
  return {
    failure: failureOf(status, said),
    status,
    message: message ?? `${api} answered ${status}`,
    retryAfterMs: retryAfterMs(headers, nowMs),
    words: rateWords(headers, nowMs),
  }
}

/** An error inside a stream, or with a status that says nothing. */
export function failureOf(status: number, said: string): WireFault['failure'] {
  if (status === 401 || status === 403) return 'auth'
  if (status === 402) return 'quota_exhausted'
  if (status === 404) return 'not_found'
  if (status === 429)
    return quota.test(said) ? 'quota_exhausted' : overloaded.test(said) ? 'overloaded' : 'rate_limited'
  if (status === 503 || status === 529) return 'overloaded'
  if (status >= 500) return overloaded.test(said) ? 'overloaded' : 'unavailable'
  if (status === 408 || status === 409 || status === 425) return 'unavailable'
  if (quota.test(said)) return 'quota_exhausted'
  return status === 413 || overflow.test(said) ? 'context_overflow' : 'bad_request'
}

/** What an error event in the middle of a stream means: it has no status of its own. */
export function failureInStream(said: string): WireFault['failure'] {
  if (/rate_?limit/i.test(said)) return 'rate_limited'
  if (quota.test(said)) return 'quota_exhausted'
  if (overloaded.test(said)) return 'overloaded'
  if (overflow.test(said)) return 'context_overflow'
  return /authentication|permission/i.test(said) ? 'auth' : 'unavailable'
}

/** Its message, and all of its words together. */
export function readError(body: Buffer | string): { readonly message: string | null; readonly said: string } {
  const text = body.toString('utf8').slice(0, 16_384)
  const value = parseJson(text)
  if (!isObject(value)) return { message: null, said: text }
  const error: Loose = isObject(value.error) ? value.error : value
  const { message, code, type } = error
  const said = [message, code, type, value.detail, value.error].map((word) => textIn(word) ?? '').join(' ')
  return { message: textIn(message) ?? textIn(value.error) ?? textIn(value.detail), said }
}

/** How long the provider asks to be left alone, ms; null: it does not say. */
export function retryAfterMs(headers: IncomingHttpHeaders, nowMs: number): number | null {
  const precise = Number(headers['retry-after-ms'])
  if (headers['retry-after-ms'] !== undefined && Number.isFinite(precise) && precise >= 0) return precise
  const word = headers['retry-after']
  if (word === undefined) return null
  const seconds = Number(word)
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1_000)
  return untilMs(word, headers, nowMs)
}

/** OpenAI's `x-ratelimit-remaining-requests: 0` with `x-ratelimit-reset-requests: 6m0s`, Anthropic's with a date. */
export function rateWords(headers: IncomingHttpHeaders, nowMs: number): readonly RateWords[] {
  const words: RateWords[] = []
  for (const [name, value] of Object.entries(headers)) {
    const match = /^x-ratelimit-remaining(-\w+)?$|^anthropic-ratelimit-([a-z-]+)-remaining$/.exec(name)
    if (match === null || typeof value !== 'string') continue
    const [, suffix = '', kind] = match
    const reset = headers[kind === undefined ? `x-ratelimit-reset${suffix}` : `anthropic-ratelimit-${kind}-reset`]
    const remaining = Number(value)
    const resetMs = typeof reset === 'string' ? resetIn(reset, headers, nowMs) : null
    if (Number.isFinite(remaining) && resetMs !== null) words.push({ remaining, resetMs })
  }
  return words
}

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `12ms`, `1m26.4s`, seconds, or a date. */
function resetIn(word: string, headers: IncomingHttpHeaders, nowMs: number): number | null {
  if (/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(word)) {
    let total = 0
    for (const [, amount, unit] of word.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
      total += Number(amount) * (unitsMs[unit ?? ''] ?? 0)
    return total
  }
  const seconds = Number(word)
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1_000) : untilMs(word, headers, nowMs)
}

/** By the provider's own clock, where it tells the time. */
function untilMs(word: string, headers: IncomingHttpHeaders, nowMs: number): number | null {
  const atMs = Date.parse(word)
  const theirsMs = Date.parse(headers.date ?? '')
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - (Number.isNaN(theirsMs) ? nowMs : theirsMs))
}
