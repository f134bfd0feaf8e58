import { createHash, timingSafeEqual } from 'node:crypto'
import { ConfigError, PrunellaError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Clock } from '../port/clock.ts'

const ranks = { read: 0, submit: 1, operate: 2, admin: 3 } as const
/** Each may what the one before it may. */
export type Role = keyof typeof ranks

export interface Token {
  /** Stands in the ledger. */
  readonly name: string
  readonly value: string
  readonly role: Role
}

export interface Identity {
  readonly name: string
  readonly role: Role
}

export interface Auth {
  /**
   * Who sends this `Authorization`; null without one or with a wrong one. A wrong one is counted.
   *
   * @throws PrunellaError PRUNELLA_TOO_MANY after `limits.wrongTokensPerMinute` wrong ones from `address`.
   */
  identify(authorization: string | undefined, address: string): Identity | null
}

const minuteMs = 60_000

export function mayActAs(identity: Identity, role: Role): boolean {
  return ranks[identity.role] >= ranks[role]
}

/** @throws ConfigError for a token shorter than 16 characters: it could be guessed. */
export function createAuth(tokens: readonly Token[], clock: Clock): Auth {
  const known = tokens.map(({ name, role, value }) => {
    if (value.length < 16)
      throw new ConfigError(`The token of ${name} must be at least 16 characters long, got ${value.length}.`)
    return { name, role, digest: digestOf(value) }
  })
  /** Times of wrong tokens by address, oldest address first. */
  const failures = new Map<string, readonly number[]>()
  return {
    identify(authorization, address) {
      if (authorization === undefined) return null
      const found = match(known, authorization)
      const nowMs = clock.nowMs()
      const recent = (failures.get(address) ?? []).filter((atMs) => nowMs - atMs < minuteMs)
      const locked = recent.length >= limits.wrongTokensPerMinute
      // A local process shares its address with the operator: it must not be able to lock the door for both.
      if (found !== null && (!locked || isLoopback(address))) return found
      if (locked)
        throw new PrunellaError('PRUNELLA_TOO_MANY', 'Too many wrong tokens from this address. Wait a minute.')
      failures.delete(address)
      failures.set(address, [...recent, nowMs])
      const [oldest] = failures.keys()
      if (failures.size > limits.wrongTokenAddresses && oldest !== undefined) failures.delete(oldest)
      return null
    },
  }
}

interface KnownToken extends Identity {
  readonly digest: Buffer
}

/** Looks at every token to the end, whichever fits: the time tells nothing. */
function match(known: readonly KnownToken[], authorization: string): Identity | null {
  const digest = digestOf(authorization.replace(/^Bearer +/i, ''))
  let found: Identity | null = null
  for (const token of known) {
    if (timingSafeEqual(token.digest, digest)) found = { name: token.name, role: token.role }
  }
  return found
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

export function isLoopback(address: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+|localhost)$/.test(address)
}
