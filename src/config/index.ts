export { env } from './environment.ts'
export { defineConfig, findConfig, loadConfig, type PrunellaConfig, stateFolderOf } from './load.ts'
export { type ResolveContext, resolveConfig } from './resolve.ts'
