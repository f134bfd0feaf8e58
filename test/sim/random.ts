import type { Random } from '../../src/port/random.ts'

/** Chance by seed (splitmix32 twice over), with the draws that a scenario needs. */
export interface SimRandom extends Random {
  /** Whole number in [low, high], both ends included. */
  between(low: number, high: number): number
  /** True with this probability. */
  chance(probability: number): boolean
  pick<Item>(items: readonly Item[]): Item
  /** Time to the next event of a Poisson stream with this mean, ms, at least 1. */
  waitMs(meanMs: number): number
  /** A stream of its own, so that one more draw here does not change what happens there. */
  fork(): SimRandom
}

export function createRandom(seed: number): SimRandom {
  return createStream(seed, { count: 0 })
}

/** `ids` is shared by all forks: an identifier is given once. */
function createStream(seed: number, ids: { count: number }): SimRandom {
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ (seed >>> 13)) | 0
  const word = (): number => {
    state = (state + 0x9e3779b9) | 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735a2d97)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }
  const random: SimRandom = {
    next: () => word() / 0x1_0000_0000,
    id(prefix) {
      ids.count += 1
      return `${prefix}${ids.count.toString(36).padStart(16, '0')}`
    },
    between: (low, high) => low + Math.floor(random.next() * (high - low + 1)),
    chance: (probability) => random.next() < probability,
    pick(items) {
      const item = items[Math.floor(random.next() * items.length)]
      if (item === undefined) throw new Error('Nothing to pick from')
      return item
    },
    waitMs: (meanMs) => Math.max(1, Math.round(-Math.log(1 - random.next()) * meanMs)),
    fork: () => createStream(word(), ids),
  }
  return random
}
