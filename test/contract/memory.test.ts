import { createMemoryStore } from '../sim/memory-store.ts'
import { storeContract } from './store.ts'

storeContract('memory', async () => {
  let store = createMemoryStore()
  return {
    get store() {
      return store
    },
    histories: 400,
    /** The next supervisor's store, on what the one before left. */
    reopen: async () => {
      store = createMemoryStore({ data: store.data })
      return store
    },
    close: async () => {},
  }
})
