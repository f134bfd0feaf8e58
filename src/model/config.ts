import type { NotifierSpec } from './notification.ts'
import type { PoolSpec } from './pool.ts'
import type { DependencySpec } from './probe.ts'
import type { GatewaySpec } from './provider.ts'

/** The configuration after every default, duration, size and path is resolved. */
export interface ResolvedConfig {
  /** The folder of the configuration file; relative paths start here. */
  readonly root: string
  /** State of this node: token, store, work folders. Absolute. */
  readonly stateFolder: string
  readonly store: { readonly kind: 'sqlite'; readonly path: string }
  readonly http: {
    readonly host: string
    readonly port: number
    /** Names under which the server may be called, beside addresses and localhost. */
    readonly names?: readonly string[]
    /** `PRUNELLA_TOKEN`; without it the token is made at first start and kept in the state folder. */
    readonly token?: string
  }
  readonly gateway: GatewaySpec
  readonly dependencies: readonly DependencySpec[]
  readonly pools: readonly PoolSpec[]
  readonly notify: readonly NotifierSpec[]
  /** How long a drain on SIGTERM may take before tasks are handed back. */
  readonly shutdownMs: number
  /** Values that must never be written anywhere: redaction list. */
  readonly secrets: readonly string[]
  /** Things worth saying at start that are not errors. */
  readonly warnings: readonly string[]
}
