import type { Clock } from '../port/clock.ts'
import type { Random } from '../port/random.ts'

/** Crockford's alphabet in lower case: sorts like the numbers, and has no i, l, o, u to misread. */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'
const timeLength = 9 // 45 bits of milliseconds: until the year 3084.
const tailLength = 7 // 35 bits.
const tailCount = 2 ** 35

/**
 * Chance and identifiers. Identifiers of one process sort strictly by creation;
 * those of two processes by their clocks. They are unique, not secret.
 */
export function createRandom(clock: Clock, next: () => number = Math.random): Random {
  let lastMs = 0
  let tail = 0
  return {
    next,
    id(prefix) {
      const atMs = Math.max(lastMs, Math.floor(clock.nowMs()))
      // Half of the tail's range is left free, so that counting on within one millisecond never overflows.
      tail = atMs === lastMs ? tail + 1 : Math.floor((next() * tailCount) / 2)
      lastMs = atMs
      return prefix + base32(atMs, timeLength) + base32(tail, tailLength)
    },
  }
}

function base32(value: number, length: number): string {
  let text = ''
  let rest = value
  for (let at = 0; at < length; at += 1) {
    text = alphabet.charAt(rest % 32) + text
    rest = Math.floor(rest / 32)
  }
  return text
}
