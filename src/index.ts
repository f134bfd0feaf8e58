export { type Node, type NodeOptions, startNode } from './compose.ts'
export { defineConfig, env, loadConfig, type PrunellaConfig } from './config/index.ts'
export { PrunellaError } from './model/errors.ts'
