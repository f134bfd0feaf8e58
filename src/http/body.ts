import { PrunellaError } from '../model/errors.ts'
import { isDeeperThan } from '../model/json.ts'
import { limits } from '../model/limits.ts'

/** The fields around a task's input. */
const envelopeBytes = 16 * 1024
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * A body as JSON, or undefined when it is empty. Size and depth are checked before
 * it is parsed. Only an array (a batch of tasks) may be larger than one payload.
 *
 * @throws PrunellaError PRUNELLA_TOO_LARGE, PRUNELLA_INVALID.
 */
export function parseBody(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined
  const isBatch = /^\s*\[/.test(bytes.toString('latin1', 0, 64))
  const maxBytes = isBatch ? limits.batchBytes : limits.payloadBytes + envelopeBytes
  if (bytes.length > maxBytes) {
    throw new PrunellaError('PRUNELLA_TOO_LARGE', `The body must be at most ${maxBytes} bytes, got ${bytes.length}.`)
  }
  // An array of tasks, the task, and its input.
  if (isDeeperThan(limits.jsonDepth + 2, bytes)) {
    throw new PrunellaError('PRUNELLA_INVALID', `The body is nested deeper than ${limits.jsonDepth} levels.`)
  }
  try {
    return JSON.parse(utf8.decode(bytes))
  } catch (error) {
    const reason = error instanceof SyntaxError ? 'JSON' : 'UTF-8'
    throw new PrunellaError('PRUNELLA_INVALID', `The body is not valid ${reason}.`, { cause: error })
  }
}
