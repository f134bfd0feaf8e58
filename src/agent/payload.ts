import { type ErrorInfo, PrunellaError } from '../model/errors.ts'
import { isDeeperThan, type Json } from '../model/json.ts'
import { limits } from '../model/limits.ts'
import type { ResultPrint } from '../model/observation.ts'
import { printOf } from '../model/print.ts'
import { dependencyOf } from './blame.ts'

/** A frame is one level around its payload. */
const depthMax = limits.jsonDepth - 1

/**
 * `value` as JSON keeps it, within the limits: `undefined` becomes null, a Date its text.
 *
 * @param owner  Whose value it is, for the message, e.g. `The result of step "charge"`.
 * @throws PrunellaError PRUNELLA_INVALID when it is not JSON or too deep, PRUNELLA_TOO_LARGE above `limits.payloadBytes`.
 */
export function toPayload(value: unknown, owner: string): Json {
  const text = toJson(value, owner)
  if (text.length > limits.payloadBytes / 3) {
    const bytes = Buffer.byteLength(text)
    if (bytes > limits.payloadBytes) {
      const advice = 'Store it elsewhere and return its name.'
      throw new PrunellaError(
        'PRUNELLA_TOO_LARGE',
        `${owner} has ${bytes} bytes; the limit is ${limits.payloadBytes}. ${advice}`,
      )
    }
  }
  if (text.length > 2 * depthMax && isDeeperThan(depthMax, Buffer.from(text))) {
    throw new PrunellaError('PRUNELLA_INVALID', `${owner} nests deeper than ${depthMax} levels. Make it flatter.`)
  }
  return JSON.parse(text)
}

/** What the loop detectors see of a call's arguments; the order of keys does not matter. */
export function fingerprint(args: unknown, owner: string): { hash: string; length: number; text: string } {
  const text = toJson(args, owner, sortKeys)
  return { hash: hashOf(text), length: text.length, text: text.slice(0, limits.noteLength) }
}

/** What the loop detectors see of a result; null where it cannot be told apart from others. */
export function toPrint(value: unknown): ResultPrint | null {
  try {
    return printOf(value, hashOf)
  } catch {
    return null // A getter or `toJSON` of the agent's threw. The result is the agent's all the same.
  }
}

function hashOf(content: string | Uint8Array): string {
  // Loaded with the first tool call: an agent without tools need not pay for it.
  const { hash } = process.getBuiltinModule('node:crypto')
  return hash('sha256', content).slice(0, 32)
}

function toJson(value: unknown, owner: string, replacer?: (key: string, value: unknown) => unknown): string {
  try {
    return JSON.stringify(value, replacer) ?? 'null'
  } catch (error) {
    const cause = error instanceof Error ? error.message.split('\n')[0] : String(error)
    throw new PrunellaError('PRUNELLA_INVALID', `${owner} cannot be written as JSON: ${cause}. Use plain data.`, {
      cause: error,
    })
  }
}

function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Anything that was thrown, as data, each text within its limit. */
export function toErrorInfo(error: unknown): ErrorInfo {
  const cut = (text: unknown): string => String(text).slice(0, limits.errorTextLength)
  if (!(error instanceof Error)) return { name: 'Error', message: cut(describe(error)) }
  const code = 'code' in error && typeof error.code === 'string' ? { code: cut(error.code) } : {}
  const stack = typeof error.stack === 'string' ? { stack: cut(error.stack) } : {}
  const name = dependencyOf(error)
  const dependency = name === null ? {} : { dependency: name }
  return { name: cut(error.name), message: cut(error.message), ...code, ...stack, ...dependency }
}

function describe(thrown: unknown): string {
  if (typeof thrown === 'string') return thrown
  try {
    return JSON.stringify(thrown) ?? String(thrown)
  } catch {
    return Object.prototype.toString.call(thrown) // Circular, or worse: its kind is all that can be said.
  }
}
