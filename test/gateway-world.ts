import { type Gateway, startGateway } from '../src/gateway/server.ts'
import { createClock } from '../src/io/clock.ts'
import { newModelToken } from '../src/io/token.ts'
import type { Observation } from '../src/model/observation.ts'
import type { PoolSpec } from '../src/model/pool.ts'
import type { ProviderSpec } from '../src/model/provider.ts'
import type { ModelBudget } from '../src/port/model-budget.ts'
import type { Admission, RunningAttempt } from '../src/port/model-door.ts'
import { poolSpec } from './fixtures/specs.ts'
import { type ModelServer, startModelServer } from './model-server.ts'

export const realKey = 'the-real-key-of-the-provider'

export interface GatewayWorld {
  readonly gateway: Gateway
  readonly models: ModelServer
  readonly seen: Observation[]
  /** Of the replica `p/0`, whose task `t` runs. */
  readonly admission: Admission
  /** Where its client sends calls: `openai` or `anthropic`. */
  base(api: ProviderSpec['api']): string
  readonly token: string
  admit(replica: `p/${number}`): Admission
  close(): Promise<void>
}

/** A gateway before a model provider that speaks both wire formats. */
export async function openGatewayWorld(
  more: {
    readonly pool?: Partial<PoolSpec>
    readonly budget?: ModelBudget
    readonly running?: readonly RunningAttempt[]
  } = {},
): Promise<GatewayWorld> {
  const models = await startModelServer((response) => void response.writeHead(500).end())
  const seen: Observation[] = []
  const provider = (name: ProviderSpec['api']): ProviderSpec => ({
    ...{ name, api: name, baseUrl: models.url, apiKey: realKey, prices: [] },
  })
  const gateway = await startGateway({
    spec: { host: '127.0.0.1', port: 0, providers: [provider('openai'), provider('anthropic')] },
    pools: [poolSpec(more.pool)],
    clock: createClock(),
    inbox: { push: (observation) => seen.push(observation), full: false, onDrain: () => undefined },
    log: {
      info: () => undefined,
      warn: () => undefined,
      error: (facts, text) => seen.push({ text, ...facts } as never),
    },
    budget: more.budget ?? { isLimited: () => false, refusal: () => null },
    newToken: newModelToken,
  })
  const running = more.running ?? [{ taskId: 't', fence: 1, left: null }]
  const admit = (replica: `p/${number}`): Admission =>
    gateway.admit({ pool: 'p', replica, incarnation: 1 }, () => running)
  const admission = admit('p/0')
  return {
    ...{ gateway, models, seen, admission, admit },
    base: (api) => admission.variables[api === 'openai' ? 'OPENAI_BASE_URL' : 'ANTHROPIC_BASE_URL'] ?? '',
    token: admission.variables.OPENAI_API_KEY ?? '',
    async close() {
      await gateway.close()
      await models.close()
    },
  }
}
