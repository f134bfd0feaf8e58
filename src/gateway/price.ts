import type { PriceSpec, ProviderSpec } from '../model/provider.ts'
import type { TokenCounts } from './wire/types.ts'

export interface Price {
  /** Null: nobody knows what it costs. */
  readonly usd: number | null
  /** Prompt and answer together; null: nobody knows. */
  readonly windowTokens: number | null
}

/** What calls of one provider cost. */
export interface Prices {
  of(model: string, tokens: TokenCounts): Price
}

type Table = Pick<typeof import('@pydantic/genai-prices'), 'calcPrice'>

const million = 1_000_000
/** Names of models that were looked up and not found: an agent may invent one for each call. */
const unknownKept = 256

/** Reading the table takes 30 ms and some MiB, so only who has a provider does. */
export async function loadPrices(): Promise<(provider: ProviderSpec) => Prices> {
  const table = await import('@pydantic/genai-prices')
  return (provider) => createPrices(provider, table)
}

/** The configuration's words first, then the package's table. */
export function createPrices({ api, baseUrl, prices }: ProviderSpec, { calcPrice }: Table): Prices {
  const unknown = new Set<string>()
  return {
    of(model, tokens) {
      const own = prices.find((price) => matches(price.model, model)) ?? null
      const known = unknown.has(model) ? null : ask(model, tokens)
      const usd = own?.input == null && own?.output == null ? (known?.usd ?? null) : usdOf(own, tokens)
      return { usd, windowTokens: own?.windowTokens ?? known?.windowTokens ?? null }
    },
  }

  function ask(model: string, tokens: TokenCounts): Price | null {
    const usage = {
      input_tokens: tokens.promptTokens ?? 0,
      output_tokens: tokens.completionTokens ?? 0,
      cache_read_tokens: tokens.cachedTokens,
      cache_write_tokens: tokens.cacheWriteTokens,
    }
    const found =
      calcPrice(usage, model, { providerApiUrl: baseUrl }) ?? calcPrice(usage, model, { providerId: api }) ?? null
    if (found !== null) return { usd: found.total_price, windowTokens: found.model.context_window ?? null }
    if (unknown.size < unknownKept) unknown.add(model)
    return null
  }
}

function matches(pattern: string, model: string): boolean {
  return pattern.endsWith('*') ? model.startsWith(pattern.slice(0, -1)) : pattern === model
}

function usdOf({ input, output, cached }: PriceSpec, tokens: TokenCounts): number {
  const { promptTokens, completionTokens, cachedTokens } = tokens
  const fresh = Math.max(0, (promptTokens ?? 0) - cachedTokens)
  const inputUsd = fresh * (input ?? 0) + cachedTokens * (cached ?? input ?? 0)
  return (inputUsd + (completionTokens ?? 0) * (output ?? 0)) / million
}
