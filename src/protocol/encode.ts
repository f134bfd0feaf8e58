import { PrunellaError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { AgentFrame, SupervisorFrame } from './frames.ts'

/** A UTF-16 unit is at most three bytes of UTF-8, so most frames need not be measured. */
const surelyFits = limits.frameBytes / 3

/**
 * One frame as one line, newline included.
 *
 * @throws PrunellaError PRUNELLA_TOO_LARGE above `limits.frameBytes`: the other side would call it a violation.
 */
export function encode(frame: AgentFrame | SupervisorFrame): string {
  const line = `${JSON.stringify(frame)}\n`
  if (line.length <= surelyFits) return line
  const bytes = Buffer.byteLength(line)
  if (bytes <= limits.frameBytes) return line
  throw new PrunellaError(
    'PRUNELLA_TOO_LARGE',
    `A "${frame.type}" frame of ${bytes} bytes is above the limit of ${limits.frameBytes}. Send less, or store it elsewhere and send its name.`,
  )
}
