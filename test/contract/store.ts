import { afterEach, beforeEach, describe } from 'vitest'
import type { Store } from '../../src/port/store.ts'
import { storeDecisions } from './store-decisions.ts'
import type { StoreHarness } from './store-fixtures.ts'
import { storeLedger } from './store-ledger.ts'
import { storeModel } from './store-model.ts'
import { storeOutbox } from './store-outbox.ts'
import { storePeople } from './store-people.ts'
import { storeQueue } from './store-queue.ts'
import { storeSpent } from './store-spent.ts'

/** Every promise of `Store`, for every implementation. `create` gives an empty store, not yet taken over. */
export function storeContract(name: string, create: () => Promise<StoreHarness>): void {
  describe(`store contract: ${name}`, () => {
    let harness: StoreHarness

    beforeEach(async () => {
      harness = await create()
    })
    afterEach(async () => {
      await harness.close()
    })

    const store = (): Store => harness.store
    storeQueue(store)
    storeDecisions(store)
    storeLedger(store)
    storePeople(store)
    storeSpent(store)
    storeOutbox(() => harness)
    storeModel(() => harness)
  })
}
