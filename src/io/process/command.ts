import { accessSync, constants, statSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import type { PoolSpec } from '../../model/pool.ts'
import { commandFolders } from './environment.ts'
import { runsFromSource } from './strip.ts'

/** What runs, and the files that must be readable for it. */
export function commandLine(
  pool: Pick<PoolSpec, 'name' | 'agent'>,
  { root, bootFile, chaos }: { readonly root: string; readonly bootFile: string; readonly chaos: boolean },
): { readonly argv: readonly string[]; readonly files: readonly string[] } {
  const { agent } = pool
  if (agent.kind === 'module') {
    // A random port, opened only when asked for by SIGUSR1, so that a blocked process can be asked where it is stuck.
    const flags = ['--inspect-port=127.0.0.1:0', ...(runsFromSource ? ['--conditions=prunella-source'] : [])]
    const words = chaos ? ['--chaos'] : []
    return {
      argv: [process.execPath, ...flags, bootFile, agent.path, ...words],
      files: [process.execPath, bootFile, agent.path],
    }
  }
  const argv = absoluteArguments(agent.command, root)
  const program = findCommand(argv[0] ?? '')
  if (program === null) {
    throw Object.assign(new Error(`Command "${argv[0]}" of ${pool.name} is not there or not executable.`), {
      code: 'ENOENT',
    })
  }
  return {
    argv: [program, ...argv.slice(1)],
    files: [program, ...argv.slice(1).filter((word) => word.startsWith(`${root}/`))],
  }
}

/** The file that would run, or null. A name with a slash is a path. */
export function findCommand(command: string): string | null {
  const places = command.includes('/') ? [resolve(command)] : commandFolders().map((folder) => join(folder, command))
  return places.find(isExecutable) ?? null
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** Arguments that name an existing file below `root` become absolute: the working folder is another one. */
export function absoluteArguments(command: readonly string[], root: string): readonly string[] {
  return command.map((word, at) => {
    if (isAbsolute(word) || word.startsWith('-') || (at === 0 && !word.includes('/'))) return word
    const path = resolve(root, word)
    return statSync(path, { throwIfNoEntry: false })?.isFile() === true ? path : word
  })
}
