/** Wire formats that the gateway speaks. */
export type ProviderApi = 'openai' | 'anthropic'

/** What one model costs and holds, where the built-in table is wrong or silent. Prices in USD per million tokens. */
export interface PriceSpec {
  /** The model's name, or its beginning with a `*` at the end. */
  readonly model: string
  readonly input: number | null
  readonly output: number | null
  /** Of prompt tokens read from the provider's cache. */
  readonly cached: number | null
  readonly windowTokens: number | null
}

export interface ProviderSpec {
  readonly name: string
  readonly api: ProviderApi
  /** Version included, without a slash at its end: `https://api.openai.com/v1`. */
  readonly baseUrl: string
  /** Added on the way out. Null: calls go out as the agent wrote them. */
  readonly apiKey: string | null
  readonly prices: readonly PriceSpec[]
}

export interface GatewaySpec {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly providers: readonly ProviderSpec[]
}
