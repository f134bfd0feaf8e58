import type { Cost } from '../model/spent.ts'
import type { ModelBudget } from '../port/model-budget.ts'
import type { RunningAttempt } from '../port/model-door.ts'
import type { Client, Stay } from './callers.ts'
import type { Prices } from './price.ts'
import type { RequestFacts } from './wire/types.ts'

/** An answer's length where the request sets no limit: the usual limit of the clients that must set one. */
const usualAnswerTokens = 4_096

/**
 * Why the call must not start, or null: then what it may cost is reserved until
 * it ends. Where only other calls of the same replica stand in its way it waits
 * for them: so each replica goes over by one call at most.
 */
export async function withinBudget(
  budget: ModelBudget,
  client: Client,
  stay: Stay,
  attempt: RunningAttempt | null,
  facts: RequestFacts | null,
  prices: Prices,
): Promise<string | null> {
  if (facts === null || !budget.isLimited(client.caller.pool)) return null
  for (;;) {
    const refusal = budget.refusal(client.caller, attempt, client.reserved)
    if (refusal === null) {
      stay.reserve(costAtMost(facts, prices))
      return null
    }
    if (!refusal.mayPass) return refusal.reason
    await client.ended()
  }
}

function costAtMost({ model, promptTokens, maxTokens }: RequestFacts, prices: Prices): Cost {
  const completionTokens = maxTokens ?? usualAnswerTokens
  const usage = { promptTokens, completionTokens, cachedTokens: 0, cacheWriteTokens: 0 }
  const usd = model === null ? 0 : (prices.of(model, usage)?.usd ?? 0)
  return { tokens: promptTokens + completionTokens, usd, calls: 1 }
}
