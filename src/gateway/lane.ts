import type { ProviderSpec } from '../model/provider.ts'
import type { GateKeeper } from './gate-keeper.ts'
import type { Prices } from './price.ts'
import type { Upstream } from './upstream.ts'

/** One provider with one key: what all its calls share. */
export interface Lane {
  readonly provider: ProviderSpec
  readonly upstream: Upstream
  readonly gate: GateKeeper
  readonly prices: Prices
}
