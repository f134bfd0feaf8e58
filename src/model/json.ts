/** Any value that survives `JSON.parse(JSON.stringify(value))`. Task payloads are data, never code. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

const quote = 0x22
const backslash = 0x5c

/** Whether JSON text nests deeper than `depth`. Without recursion, so that the answer is safe to get before parsing. */
export function isDeeperThan(depth: number, text: Uint8Array): boolean {
  let level = 0
  let inText = false
  for (let at = 0; at < text.length; at++) {
    const byte = text[at]
    if (inText) {
      if (byte === backslash) at++
      else if (byte === quote) inText = false
    } else if (byte === quote) inText = true
    else if (byte === 0x5b || byte === 0x7b) {
      if (++level > depth) return true
    } else if (byte === 0x5d || byte === 0x7d) level--
  }
  return false
}
