import { InvalidArgumentError } from 'commander'
import { isValidName, parseReplicaName, type ReplicaName } from '../model/ids.ts'
import { limits } from '../model/limits.ts'
import { parseDuration } from '../model/units.ts'

/* What may stand on a command line. Each throws InvalidArgumentError, which commander turns into exit code 2. */

export function toName(text: string): string {
  if (isValidName(text)) return text
  throw new InvalidArgumentError('A name has up to 128 letters, digits, dots, dashes and underscores.')
}

export function toReplica(text: string): ReplicaName {
  const replica = parseReplicaName(text)
  if (replica !== null && isValidName(replica.pool)) return text as ReplicaName
  throw new InvalidArgumentError('A replica is named by its pool and number, e.g. support/3.')
}

export function toSubject(text: string): string {
  return text.includes('/') ? toReplica(text) : toName(text)
}

/** JSON as text, or `-`. */
export function toInput(text: string): string {
  return text === '-' ? text : toJsonText(text)
}

/** Stays text, because commander turns a null into an empty string. */
export function toJsonText(text: string): string {
  try {
    JSON.parse(text)
    return text
  } catch {
    throw new InvalidArgumentError(`It must be JSON, e.g. '{"name":"Ada"}' or '"text"', quotes included.`)
  }
}

export function toDuration(text: string): number {
  const ms = parseDuration(/^\d+$/.test(text) ? Number(text) : text)
  if (ms !== null) return ms
  throw new InvalidArgumentError('A duration is a number with a unit, e.g. 500ms, 15s, 10m, 1h or 2d.')
}

export function toPriority(text: string): number {
  return toWhole(text, -1_000, 1_000)
}

export function toPort(text: string): number {
  return toWhole(text, 0, 65_535)
}

export function toLimit(text: string): number {
  return toWhole(text, 1, limits.pageRows)
}

export function toWhole(text: string, min: number, max: number): number {
  const number = Number(text)
  if (/^-?\d+$/.test(text) && number >= min && number <= max) return number
  throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
}

export function toReason(text: string): string {
  if (text.trim() !== '' && text.length <= limits.noteLength) return text
  throw new InvalidArgumentError(`It must have 1 to ${limits.noteLength} characters.`)
}
