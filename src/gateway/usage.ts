import type { ModelFailure, ModelUsage } from '../model/observation.ts'
import type { Lane } from './lane.ts'
import type { RequestFacts, ResponseFacts, WireFault } from './wire/types.ts'

/** What a call that was answered tells the supervisor. */
export function usageOf(lane: Lane, asked: RequestFacts | null, answer: ResponseFacts): ModelUsage {
  const model = answer.model ?? asked?.model ?? null
  const price = model === null ? null : lane.prices.of(model, answer)
  return {
    callId: answer.id,
    provider: lane.provider.name,
    model,
    promptTokens: answer.promptTokens,
    completionTokens: answer.completionTokens,
    usd: price?.usd ?? null,
    windowTokens: price?.windowTokens ?? null,
    textHash: answer.textHash,
    textLength: answer.textLength,
    toolCalls: answer.toolCalls.length,
    failure: null,
  }
}

/** And one that failed. */
export function failedUsage(provider: string, asked: RequestFacts | null, { failure }: WireFault): ModelUsage {
  return {
    ...{ callId: null, provider, model: asked?.model ?? null, promptTokens: null, completionTokens: null, usd: null },
    ...{ windowTokens: null, textHash: null, textLength: null, toolCalls: null, failure: asFailure(failure) },
  }
}

/** An address that is not there is as wrong a request as any other. */
function asFailure(failure: WireFault['failure']): ModelFailure {
  return failure === 'not_found' ? 'bad_request' : failure
}
