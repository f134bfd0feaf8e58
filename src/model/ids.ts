/** A pool's name, e.g. `support`. */
export type PoolName = string
/** A place in a pool, e.g. `support/3`. It keeps its name while processes come and go. */
export type ReplicaName = `${string}/${number}`
export type TaskId = string
export type IncidentId = string

/** What may stand in a name that comes from outside: no path, no markup, no prototype key trick by length. */
const namePattern = /^[A-Za-z0-9._-]{1,128}$/
/** Names that are legal by pattern and dangerous as an object key. */
const reserved = new Set(['__proto__', 'constructor', 'prototype', '.', '..'])

/** Whether `text` may name a pool, a task, a dependency or an idempotency key's owner. */
export function isValidName(text: string): boolean {
  return namePattern.test(text) && !reserved.has(text)
}

export function replicaName(pool: PoolName, index: number): ReplicaName {
  return `${pool}/${index}`
}

/** `support/3` into its parts, or null when `text` is not the name of a replica. */
export function parseReplicaName(text: string): { readonly pool: PoolName; readonly index: number } | null {
  const match = /^([A-Za-z0-9._-]{1,128})\/(0|[1-9]\d{0,5})$/.exec(text)
  if (match === null || match[1] === undefined) return null
  return { pool: match[1], index: Number(match[2]) }
}

/** The key under which an effect may be repeated at a sink that deduplicates: the same in every attempt. */
export function stepIdempotencyKey(taskId: TaskId, name: string, key: string): string {
  return `${taskId}:${name}:${key}`
}
