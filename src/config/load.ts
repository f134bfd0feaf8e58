import { existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { dirname, extname, join, resolve as resolvePath } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parse } from 'yaml'
import type { z } from 'zod'
import type { ResolvedConfig } from '../model/config.ts'
import { ConfigError } from '../model/errors.ts'
import { resolveConfig } from './resolve.ts'
import type { configSchema } from './schema.ts'

const extensions = ['ts', 'mts', 'js', 'mjs', 'json', 'yaml', 'yml']
/** A configuration is a page or two; this is a wrong file. */
const largestBytes = 1024 * 1024

/** What `prunella.config.ts` exports. */
export type PrunellaConfig = z.input<typeof configSchema>

/** Gives the configuration its types in an editor. Checks nothing: that happens when it is loaded. */
export function defineConfig(config: PrunellaConfig): PrunellaConfig {
  return config
}

/** The configuration file in `folder`, or the one that `file` names. Absolute. */
export function findConfig(folder: string, file?: string): string {
  if (file !== undefined) {
    const path = resolvePath(folder, file)
    if (existsSync(path)) return path
    throw new ConfigError(`There is no configuration file at ${path}. Check --config.`)
  }
  const found = extensions
    .map((extension) => join(folder, `prunella.config.${extension}`))
    .filter((path) => existsSync(path))
  const [path, second] = found
  if (path === undefined) {
    throw new ConfigError(
      `There is no prunella.config.{${extensions.join(',')}} in ${folder}. Make one with \`prunella init\`.`,
    )
  }
  if (second !== undefined) {
    throw new ConfigError(`There are two configurations, ${path} and ${second}. Remove one, or name it with --config.`)
  }
  return path
}

/** Where a node whose configuration stands in `root` keeps its state. */
export function stateFolderOf(root: string): string {
  return join(root, '.prunella')
}

/**
 * Finds, reads and resolves the configuration.
 *
 * @param file  Instead of the `prunella.config.*` of the working folder.
 * @throws ConfigError when it is missing, unreadable or refused; the message names the file.
 */
export async function loadConfig(file?: string): Promise<ResolvedConfig> {
  const path = findConfig(process.cwd(), file)
  const root = dirname(path)
  const raw = await read(path)
  try {
    return resolveConfig(raw, { root, stateFolder: stateFolderOf(root), env: process.env, fileExists: existsSync })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new ConfigError(`${path} cannot be used:\n${indent(error.message)}`, { cause: error })
  }
}

async function read(path: string): Promise<unknown> {
  const kind = extname(path).slice(1)
  try {
    if ((await stat(path)).size > largestBytes) throw new Error(`it is larger than ${largestBytes} bytes`)
    // YAML's reader takes JSON as well, and refuses a key that stands there twice.
    if (kind === 'yaml' || kind === 'yml' || kind === 'json')
      return parse(await readFile(path, 'utf8'), { maxAliasCount: 100 })
    const module: { readonly default?: unknown } = await import(pathToFileURL(path).href)
    if (module.default === undefined) throw new Error('it must `export default defineConfig({ … })`')
    return module.default
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new ConfigError(`${path} cannot be read: ${reason}`, { cause: error })
  }
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ')
}
