import { PrunellaError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import { modelFailures } from '../model/observation.ts'
import type { AgentFrame } from '../protocol/frames.ts'
import type { ModelCall } from './definition.ts'
import { toPrint } from './payload.ts'

type ModelCalled = Omit<Extract<AgentFrame, { readonly type: 'model_called' }>, 'task' | 'fence'>

const texts = ['provider', 'model'] as const
const counts = ['promptTokens', 'completionTokens', 'windowTokens', 'toolCalls'] as const

/**
 * What `ctx.model` was told, as a frame without its attempt. The text itself stays here.
 *
 * @throws PrunellaError PRUNELLA_INVALID naming what is of the wrong type.
 */
export function toModelCalled(call: ModelCall): ModelCalled {
  const { text, usd, failure } = call
  const frame: { type: 'model_called' } & Record<string, unknown> = { type: 'model_called' }
  for (const name of texts) {
    const value = call[name]
    if (value === undefined) continue
    if (typeof value !== 'string') throw invalid(name, 'a text', value)
    frame[name] = value.slice(0, limits.noteLength)
  }
  for (const name of counts) {
    const value = call[name]
    if (value === undefined) continue
    if (!Number.isSafeInteger(value) || value < 0) throw invalid(name, 'a whole number, 0 or more', value)
    frame[name] = value
  }
  if (usd !== undefined) {
    if (!(Number.isFinite(usd) && usd >= 0 && usd <= limits.usdPerCall)) {
      throw invalid('usd', `a number from 0 to ${limits.usdPerCall}`, usd)
    }
    frame['usd'] = usd
  }
  if (failure !== undefined) {
    if (!modelFailures.includes(failure)) throw invalid('failure', `one of ${modelFailures.join(', ')}`, failure)
    frame['failure'] = failure
  }
  if (text !== undefined) {
    if (typeof text !== 'string') throw invalid('text', 'a text', text)
    const print = toPrint(text)
    frame['textHash'] = print?.hash
    frame['textLength'] = print?.length
  }
  return frame as unknown as ModelCalled
}

function invalid(name: string, wanted: string, got: unknown): PrunellaError {
  const shown = String(JSON.stringify(got) ?? got).slice(0, 80)
  return new PrunellaError('PRUNELLA_INVALID', `A model call's ${name} must be ${wanted}, got ${shown}.`)
}
