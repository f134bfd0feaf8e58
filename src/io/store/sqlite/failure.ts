import { PrunellaError } from '../../../model/errors.ts'

/** SQLite's primary result codes, of those that tell us what to do next. */
export const busyCode = 5
export const fullCode = 13
/** I/O error, corrupt, cannot open, not a database: the connection is not to be trusted any more. */
const brokenCodes = new Set([10, 11, 14, 26])
/** Busy, out of memory, read-only, full: this time it did not work; the connection is sound. */
const passingCodes = new Set([busyCode, 7, 8, fullCode])

/** SQLite's primary result code of an error that node:sqlite threw, or null for any other error. */
export function sqliteCode(error: unknown): number | null {
  const code = error instanceof Error && 'errcode' in error ? error.errcode : null
  return typeof code === 'number' ? code & 0xff : null
}

/** Whether the connection must be checked before it may write again. */
export function isBroken(error: unknown): boolean {
  return brokenCodes.has(sqliteCode(error) ?? -1)
}

/** Whether the file itself is wrong: corrupt, or not a database. */
export function isDamage(error: unknown): boolean {
  return sqliteCode(error) === 11 || sqliteCode(error) === 26
}

/** Whether the world failed, rather than one request. */
export function isEnvironment(error: unknown): boolean {
  return error instanceof PrunellaError || isBroken(error) || passingCodes.has(sqliteCode(error) ?? -1)
}

export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

export function storeDamaged(path: string, what: string): PrunellaError {
  return new PrunellaError(
    'PRUNELLA_STORE_DAMAGED',
    `The store ${path} is damaged: ${what}. Nothing was changed. Restore a backup of ${path}, or run ` +
      `\`sqlite3 ${path} .recover\` and load its output into a new file; or, to start empty, move every file whose ` +
      `name begins with ${path} away.`,
  )
}

export function storeFailed(path: string, error: unknown): PrunellaError {
  if (error instanceof PrunellaError) return error
  const advice = {
    [busyCode]: 'Another program has it open for writing; it is tried again with the next request',
    [fullCode]: 'Free space on its disk; no restart is needed',
  }[sqliteCode(error) ?? -1]
  return new PrunellaError(
    'PRUNELLA_STORE_FAILED',
    `The store ${path} could not do it: ${describe(error)}. Nothing of the request was kept. ` +
      `${advice ?? 'Check its disk and the permissions of its folder; no restart is needed'}.`,
    { cause: error },
  )
}
