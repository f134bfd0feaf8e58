import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { PrunellaError } from '../model/errors.ts'

/**
 * The token in `stateFolder`, made at the first start: 256 bits, readable for this
 * user alone. Never through a link, which somebody else may have laid.
 *
 * @throws PrunellaError PRUNELLA_INVALID for an empty or shortened file, a link, or one that others may read.
 */
export async function loadToken(stateFolder: string): Promise<string> {
  await mkdir(stateFolder, { recursive: true, mode: 0o711 })
  const path = join(stateFolder, 'token')
  const made = await openAs(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 'EEXIST')
  if (made !== null) {
    const token = randomBytes(32).toString('base64url')
    return withFile(made, async (file) => {
      await file.writeFile(`${token}\n`)
      await file.sync()
      return token
    })
  }
  const file = await openAs(path, constants.O_RDONLY, 'ELOOP')
  if (file === null)
    throw new PrunellaError('PRUNELLA_INVALID', `${path} is a link. Remove it; a new token is made at the next start.`)
  return withFile(file, async (opened) => {
    const { mode } = await opened.stat()
    if ((mode & 0o077) !== 0)
      throw new PrunellaError(
        'PRUNELLA_INVALID',
        `${path} can be read by others. Remove it; a new token is made at the next start.`,
      )
    const token = (await opened.readFile('utf8')).trim()
    if (token.length < 16)
      throw new PrunellaError(
        'PRUNELLA_INVALID',
        `${path} holds no token. Remove it; a new one is made at the next start.`,
      )
    return token
  })
}

async function openAs(path: string, flags: number, expected: string): Promise<FileHandle | null> {
  try {
    return await open(path, flags | constants.O_NOFOLLOW, 0o600)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === expected) return null
    throw error
  }
}

async function withFile<Result>(file: FileHandle, use: (file: FileHandle) => Promise<Result>): Promise<Result> {
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}

/** For one incarnation's model calls: 192 bits, of the shape that providers' clients expect and every redaction takes out. */
export function newModelToken(): string {
  return `sk-prunella-${randomBytes(24).toString('base64url')}`
}
