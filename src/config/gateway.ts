import type { DependencySpec } from '../model/probe.ts'
import type { GatewaySpec } from '../model/provider.ts'
import { defaultBaseUrl, defaultBreaker, defaultProbes, defaults } from './defaults.ts'
import type { RawConfig, RawProvider } from './schema.ts'

export function resolveGateway(raw: RawConfig['gateway']): GatewaySpec {
  return {
    host: raw?.host ?? defaults.host,
    port: raw?.port ?? 0,
    providers: Object.entries(raw?.providers ?? {}).map(([name, provider]) => ({
      name,
      api: provider.api,
      baseUrl: baseOf(provider),
      apiKey: provider.apiKey ?? null,
      prices: Object.entries(provider.prices ?? {}).map(([model, { input, output, cached, window }]) => ({
        model,
        input: input ?? null,
        output: output ?? null,
        cached: cached ?? null,
        windowTokens: window ?? null,
      })),
    })),
  }
}

function baseOf({ api, baseUrl }: RawProvider): string {
  return (baseUrl ?? defaultBaseUrl[api]).replace(/\/+$/, '')
}

/** A model provider is checked by its list of models: it needs the key and costs nothing. */
export function resolveProvider(name: string, raw: RawProvider): DependencySpec {
  const headers = raw.api === 'anthropic' ? { 'anthropic-version': '2023-06-01' } : {}
  const key = raw.apiKey === undefined ? {} : keyHeader(raw.api, raw.apiKey)
  return {
    name,
    role: 'model_provider',
    check: { kind: 'http', url: `${baseOf(raw)}/models`, headers: { ...headers, ...key } },
    critical: true,
    probe: defaultProbes.readiness,
    breaker: defaultBreaker,
  }
}

function keyHeader(api: RawProvider['api'], apiKey: string): Readonly<Record<string, string>> {
  return api === 'anthropic' ? { 'x-api-key': apiKey } : { authorization: `Bearer ${apiKey}` }
}
