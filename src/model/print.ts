import { limits } from './limits.ts'
import type { ResultPrint } from './observation.ts'

/**
 * What the loop detectors compare results by. The Python client has the same
 * algorithm, and test/fixtures/prints.json holds both to it:
 *
 * 1. The value as canonical JSON (RFC 8785: keys in the order of their UTF-16 units, no spaces, numbers as ECMAScript
 *    writes them), of which at most `limits.printCountedBytes` are looked at.
 * 2. `hash` is that of its first `limits.printHashedBytes` bytes; of longer ones with `:` and the length behind them.
 * 3. `folded` is that of the same first bytes with each run of ASCII digits replaced by `#`.
 *
 * @param hash  Of bytes, as text: this room has no cryptography.
 * @returns Null for what JSON cannot tell apart (functions, most class instances, what nests too deep): two that
 *   differ would look alike, and make a loop of what is none.
 */
export function printOf(value: unknown, hash: (bytes: Uint8Array) => string): ResultPrint | null {
  const writer = new CanonicalWriter()
  if (!writer.write(value, 0)) return null
  const bytes = Buffer.from(writer.text)
  const length = Math.min(bytes.length, limits.printCountedBytes)
  const head = bytes.subarray(0, limits.printHashedBytes)
  const isCut = bytes.length > head.length
  return {
    hash: hash(isCut ? Buffer.concat([head, Buffer.from(`:${length}`)]) : head),
    folded: hash(Buffer.from(head.toString('latin1').replace(/[0-9]+/g, '#'), 'latin1')),
    length: empty.has(writer.text) ? 0 : length,
  }
}

const empty: ReadonlySet<string> = new Set(['null', '""', '[]', '{}'])

/** Writes until it is full; what comes then is not even looked at. */
class CanonicalWriter {
  text = ''

  get #isFull(): boolean {
    return this.text.length >= limits.printCountedBytes
  }

  /** False when it cannot be written so that two that differ look different. */
  write(value: unknown, depth: number): boolean {
    switch (typeof value) {
      case 'string':
        this.text += JSON.stringify(value.slice(0, limits.printCountedBytes))
        return true
      case 'number':
        this.text += Number.isFinite(value) ? String(value) : 'null'
        return true
      case 'boolean':
      case 'bigint':
        this.text += String(value)
        return true
      case 'undefined':
        this.text += 'null'
        return true
      case 'object':
        if (value !== null) return depth < limits.jsonDepth && this.#writeObject(value, depth + 1)
        this.text += 'null'
        return true
      default:
        return false
    }
  }

  #writeObject(value: object, depth: number): boolean {
    if (Array.isArray(value) || value instanceof Map || value instanceof Set) return this.#writeList(value, depth)
    if (ArrayBuffer.isView(value)) return this.#writeBytes(value, depth)
    if ('toJSON' in value && typeof value.toJSON === 'function') return this.write(value.toJSON(), depth)
    return this.#writeFields(value as Readonly<Record<string, unknown>>, depth)
  }

  #writeList(items: Iterable<unknown>, depth: number): boolean {
    this.text += '['
    let separator = ''
    for (const item of items) {
      if (this.#isFull) return true
      this.text += separator
      if (!this.write(item, depth)) return false
      separator = ','
    }
    this.text += ']'
    return true
  }

  /** By their number and the first of them, each as one character. */
  #writeBytes({ buffer, byteOffset, byteLength }: ArrayBufferView, depth: number): boolean {
    if (byteLength === 0) return this.write('', depth)
    const first = Buffer.from(buffer, byteOffset, Math.min(byteLength, limits.printHashedBytes))
    return this.write([byteLength, first.toString('latin1')], depth)
  }

  #writeFields(value: Readonly<Record<string, unknown>>, depth: number): boolean {
    const keys = Object.keys(value)
    this.text += '{'
    let separator = ''
    for (const key of keys.sort()) {
      if (this.#isFull) return true
      const field = value[key]
      if (field === undefined || typeof field === 'function' || typeof field === 'symbol') continue
      this.text += `${separator}${JSON.stringify(key)}:`
      if (!this.write(field, depth)) return false
      separator = ','
    }
    this.text += '}'
    // What it is, is somewhere else: in private fields, or in functions.
    return separator !== '' || (keys.length === 0 && isPlain(value))
  }
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null
}
