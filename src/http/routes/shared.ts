import { z } from 'zod'
import type { OperatorAnswer } from '../../model/effect.ts'
import { PrunellaError } from '../../model/errors.ts'
import { limits } from '../../model/limits.ts'
import { parseDuration } from '../../model/units.ts'
import type { Answer } from '../route.ts'

/** `'30s'` or milliseconds, in a body or a query. */
export const duration = z.union([z.string(), z.number()]).transform((value, context) => {
  const ms = parseDuration(typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value)
  if (ms !== null) return ms
  context.addIssue("must be a duration such as '15s', '5m' or milliseconds")
  return z.NEVER
})

export const page = z.strictObject({
  limit: z.coerce.number().int().min(1).max(limits.pageRows).default(50),
  cursor: z.string().max(500).exactOptional(),
})

/** Why an operator asks: stands in the ledger. */
export const operatorBody = { reason: z.string().max(limits.noteLength).exactOptional() }

export interface Reasoned {
  readonly reason?: string
}

export function reasonOf(body: Reasoned | undefined): string {
  return body?.reason ?? ''
}

/** @throws PrunellaError when the supervisor refused. */
export function throwUnless(answer: OperatorAnswer): Answer {
  switch (answer.kind) {
    case 'accepted':
      return { body: { accepted: true, incident: answer.incidentId, text: answer.text } }
    case 'not_found':
      throw new PrunellaError('PRUNELLA_NOT_FOUND', answer.text)
    case 'conflict':
      throw new PrunellaError('PRUNELLA_CONFLICT', answer.text)
  }
}
