import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { findConfig, loadConfig, stateFolderOf } from '../config/index.ts'
import { ConfigError } from '../model/errors.ts'
import { type Client, createClient } from './client.ts'
import type { Common } from './command.ts'
import { UsageError } from './errors.ts'
import type { Io } from './io.ts'

const defaultPort = 8080

/** A client for the node that the command means. */
export async function connect(common: Common, io: Io): Promise<Client> {
  const url = common.url === undefined ? await urlOfConfig(common, io) : checked(common.url)
  const token = common.token ?? io.token ?? (await tokenFile(common, io, url))
  return createClient({ url, token, fetch: io.fetch })
}

function checked(text: string): string {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '' || url.hash !== '')
    throw new UsageError(`--url must be an address such as http://127.0.0.1:${defaultPort}, got ${text}`)
  return url.href.replace(/\/+$/, '')
}

/** Whoever names a configuration means it; one that merely lies here may lack variables that only the node has. */
async function urlOfConfig({ config }: Common, io: Io): Promise<string> {
  const file = configFile(io.folder, config)
  if (file === null) return `http://127.0.0.1:${defaultPort}`
  try {
    const { http } = await loadConfig(file)
    return `http://${clientHost(http.host)}:${http.port}`
  } catch (error) {
    if (config !== undefined || !(error instanceof ConfigError)) throw error
    io.err(`The configuration cannot be read here, so port ${defaultPort} is assumed (--url says another).`)
    return `http://127.0.0.1:${defaultPort}`
  }
}

/** @throws ConfigError when `config` names a file that is not there. */
function configFile(folder: string, config: string | undefined): string | null {
  try {
    return findConfig(folder, config)
  } catch (error) {
    if (config !== undefined || !(error instanceof ConfigError)) throw error
    return null
  }
}

/** A server that listens everywhere is called at this machine. */
function clientHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

/** The node's own token file. It is never sent to another machine that `--url` names. */
async function tokenFile({ config, url: given }: Common, io: Io, url: string): Promise<string | null> {
  if (given !== undefined && !/^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(new URL(url).hostname)) return null
  const file = configFile(io.folder, config)
  const root = file === null ? io.folder : dirname(file)
  try {
    return (await readFile(join(stateFolderOf(root), 'token'), 'utf8')).trim() || null
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
