import type { ResolvedConfig } from '../../src/model/config.ts'
import type { PoolSpec } from '../../src/model/pool.ts'
import { notify } from './notifiers.ts'
import type { Scenario } from './scenario.ts'

/** @param read  How the supervisor reads each pool. */
export function configOf(scenario: Scenario, read: (pool: PoolSpec) => PoolSpec): ResolvedConfig {
  return {
    root: '/',
    stateFolder: '/state',
    store: { kind: 'sqlite', path: '/state/state.db' },
    http: { host: '127.0.0.1', port: 0 },
    gateway: { host: '127.0.0.1', port: 0, providers: [] },
    dependencies: scenario.dependencies,
    pools: scenario.pools.map(read),
    notify,
    shutdownMs: 30_000,
    secrets: [],
    warnings: [],
  }
}
