import { readFileSync } from 'node:fs'
import { assertNever } from '../model/assert.ts'
import { ConfigError, PrunellaError } from '../model/errors.ts'
import { stripControls } from '../model/redact.ts'
import type { Command } from './command.ts'
import { ApiError, exits, UsageError } from './errors.ts'
import { createIo, type Io } from './io.ts'
import { parse } from './parse.ts'

/** The whole program; returns its exit code. */
export async function main(argv: readonly string[], io: Io = createIo()): Promise<number> {
  const parsed = parse(argv, version())
  if (parsed.kind === 'exit') {
    if (parsed.out !== '') io.out(parsed.out.trimEnd())
    if (parsed.err !== '') io.err(parsed.err.trimEnd())
    return parsed.code
  }
  try {
    return await run(parsed.command, io)
  } catch (error) {
    io.err(describe(error).split('\n').map(stripControls).join('\n'))
    if (error instanceof UsageError) return exits.usage
    return error instanceof ConfigError ? exits.configuration : exits.failed
  }
}

/** Bodies are imported when they are needed: `prunella status` does not load a supervisor. */
async function run(command: Command, io: Io): Promise<number> {
  switch (command.name) {
    case 'init':
      return (await import('./commands/init.ts')).run(command, io)
    case 'up': {
      const { loadConfig } = await import('../config/index.ts')
      const { loadToken, startNode } = await import('../compose.ts')
      return (await import('./commands/up.ts')).run(command, io, { loadConfig, loadToken, startNode })
    }
    case 'demo': {
      const { loadToken } = await import('../compose.ts')
      const { runDemo } = await import('./demo.ts')
      return (await import('./commands/demo.ts')).run(command, io, { loadToken, runDemo })
    }
    case 'submit':
      return (await import('./commands/submit.ts')).run(command, io)
    case 'status':
      return (await import('./commands/status.ts')).runStatus(command, io)
    case 'agents':
      return (await import('./commands/status.ts')).runAgents(command, io)
    case 'tasks':
      return (await import('./commands/tasks.ts')).run(command, io)
    case 'incidents':
      return (await import('./commands/incidents.ts')).run(command, io)
    case 'why':
      return (await import('./commands/why.ts')).runWhy(command, io)
    case 'logs':
      return (await import('./commands/why.ts')).runLogs(command, io)
    case 'replay': {
      const { loadConfig } = await import('../config/index.ts')
      return (await import('./commands/replay.ts')).run(command, io, { loadConfig })
    }
    case 'chaos':
      return (await import('./commands/chaos.ts')).run(command, io)
    case 'operate':
      return (await import('./commands/operate.ts')).run(command, io)
    default:
      return assertNever(command)
  }
}

/** What a person reads. The stack is for errors nobody planned. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if ('code' in error && error.code === 'EADDRINUSE')
    return `${error.message}. Something listens there already: stop it, or set http.port in the configuration.`
  const planned = error instanceof UsageError || error instanceof ApiError || error instanceof PrunellaError
  return planned || 'code' in error ? error.message : (error.stack ?? error.message)
}

function version(): string {
  const manifest: { readonly version: string } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  )
  return manifest.version
}
