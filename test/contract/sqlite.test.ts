import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteStore } from '../../src/io/store/sqlite/index.ts'
import { storeContract } from './store.ts'

storeContract('sqlite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'prunella-store-'))
  const options = { path: join(folder, 'state.db') }
  let store = await openSqliteStore(options)
  return {
    get store() {
      return store
    },
    histories: 40,
    reopen: async () => {
      await store.close()
      store = await openSqliteStore(options)
      return store
    },
    close: async () => {
      await store.close()
      rmSync(folder, { recursive: true })
    },
  }
})
