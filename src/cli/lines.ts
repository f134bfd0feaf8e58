import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline, type Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { createGunzip } from 'node:zlib'
import { PrunellaError } from '../model/errors.ts'

export interface Line {
  /** From 1. */
  readonly number: number
  readonly text: string
}

/** A longer one is no line of a recorded run, and would fill the memory. */
const longestLine = 64 * 1024 * 1024

/**
 * The lines of a file that are not blank, gzipped or not: its first bytes say so, not its name.
 *
 * @throws PrunellaError when the archive is damaged or a line is too long; the file system's own errors as they are.
 */
export async function* readLines(path: string): AsyncGenerator<Line> {
  const decoder = new StringDecoder('utf8')
  let number = 0
  let rest = ''
  try {
    for await (const chunk of await openText(path)) {
      const parts = (rest + decoder.write(chunk)).split('\n')
      rest = parts.pop() ?? ''
      if (rest.length > longestLine) {
        throw new PrunellaError('PRUNELLA_INVALID', `${path}: line ${number + parts.length + 1} is longer than 64 MiB.`)
      }
      for (const text of parts) {
        number++
        if (text.trim() !== '') yield { number, text }
      }
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'))) throw error
    const damage = `${path} is a damaged archive after line ${number}: ${error.message}`
    throw new PrunellaError('PRUNELLA_INVALID', damage, { cause: error })
  }
  rest += decoder.end()
  if (rest.trim() !== '') yield { number: number + 1, text: rest }
}

async function openText(path: string): Promise<Readable> {
  const isZipped = await startsLikeGzip(path)
  const file = createReadStream(path)
  // The error of either end arrives through the iteration of the last.
  return isZipped ? pipeline(file, createGunzip(), () => undefined) : file
}

async function startsLikeGzip(path: string): Promise<boolean> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0)
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b
  } finally {
    await file.close()
  }
}
