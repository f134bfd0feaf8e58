import { join } from 'node:path'
import { startNode } from '../../src/compose.ts'
import { type PrunellaConfig, resolveConfig } from '../../src/config/index.ts'

/** A supervisor in a process of its own: `judged-node.ts FOLDER TOKEN CONFIG`, the last as JSON. Says its address. */
const [folder = '', token = '', text = '{}'] = process.argv.slice(2)
const config = resolveConfig(JSON.parse(text) as PrunellaConfig, {
  root: folder,
  stateFolder: join(folder, '.prunella'),
  env: {},
  fileExists: () => true,
})
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }
const node = await startNode(config, { token, log: silent, chaos: true })
process.stdout.write(`${node.url}\n`)
process.once('SIGTERM', () => void node.stop().then(() => process.exit(0)))
