import type { BackoffSpec } from '../model/pool.ts'

/**
 * Delay before try number `n` (from 0), ms: exponential, capped, with the share
 * `jitter` of it drawn by `chance`.
 *
 * @param chance  In [0, 1). Policy draws none itself: see `chanceOf`.
 */
export function backoffMs(n: number, spec: BackoffSpec, chance: number): number {
  const full = Math.min(spec.maxMs, spec.baseMs * spec.factor ** Math.min(n, 64))
  return Math.round(full * (1 - spec.jitter * chance))
}

/**
 * A number in [0, 1) that follows from who asks and when: policy may not draw
 * lots, and what jitter needs is only that neighbours differ (FNV-1a).
 */
export function chanceOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) {
    hash ^= text.charCodeAt(at)
    hash = Math.imul(hash, 0x01000193)
  }
  hash ^= hash >>> 15
  hash = Math.imul(hash, 0x2c1b3c6d)
  hash ^= hash >>> 12
  return (hash >>> 0) / 0x1_0000_0000
}
