import { createHash } from 'node:crypto'
import { limits } from '../../model/limits.ts'
import type { CallStart, ResultPrint } from '../../model/observation.ts'
import { printOf } from '../../model/print.ts'

/** Of what nobody has checked: every field may be anything. */
export type Loose = Readonly<Record<string, unknown>>

/** Undefined: no JSON. However deep it nests: who walks it looks at so much of it as is safe. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function objectsIn(value: unknown): readonly Loose[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

export function textIn(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

export function countIn(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null
}

export function hashOf(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex').slice(0, 32)
}

/** Arguments as the loop detectors compare them; the order of keys does not matter. */
export function argsPrint(args: string): NonNullable<CallStart['args']> {
  const text = canonical(args)
  return { hash: hashOf(text), length: text.length, text: text.slice(0, limits.noteLength) }
}

function canonical(args: string): string {
  try {
    return JSON.stringify(JSON.parse(args), sortKeys)
  } catch {
    return args // No JSON, or nested too deep to write: as the model wrote it.
  }
}

function sortKeys(_key: string, value: unknown): unknown {
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** What was returned, as text: the parts of it that are. */
export function resultPrint(content: unknown): ResultPrint | null {
  const parts = objectsIn(content).flatMap(({ text }) => textIn(text) ?? [])
  return printOf(parts.length > 0 ? parts.join('\n') : content, hashOf)
}

/** Tools have no common word for a failure: some set a flag, most write it. */
export function soundsLikeError(content: unknown): boolean {
  const text = textIn(content) ?? objectsIn(content).flatMap(({ text }) => textIn(text) ?? [])[0] ?? ''
  if (/^\W{0,3}(\w{0,40}(error|exception)\b|traceback|failed\b|failure\b)/i.test(text)) return true
  if (!text.startsWith('{') || text.length > limits.printCountedBytes) return false
  const value = parseJson(text)
  if (!isObject(value)) return false
  const { error, isError, ok, success } = value
  return (
    (error !== undefined && error !== null && error !== false) || isError === true || ok === false || success === false
  )
}

/** Four characters are a token, in English and in JSON: the providers' own rule of thumb. */
export function tokensIn(length: number): number {
  return Math.ceil(length / 4)
}

/** Characters of all texts in it; pictures and files are counted otherwise, and not here. */
export function textLengthOf(value: unknown, depth = 0): number {
  if (typeof value === 'string') return value.startsWith('data:') ? 0 : value.length
  if (typeof value !== 'object' || value === null || depth > limits.modelJsonDepth) return 0
  let sum = 0
  if (Array.isArray(value)) for (const item of value) sum += textLengthOf(item, depth + 1)
  else
    for (const [key, item] of Object.entries(value))
      if (key !== 'data' && key !== 'file_data') sum += textLengthOf(item, depth + 1)
  return sum
}
