import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Init } from '../command.ts'
import { exits } from '../errors.ts'
import type { Io } from '../io.ts'
import { configTemplate, ignoreTemplate, templates } from '../templates.ts'
import { toJson } from '../words.ts'

const pythonClient = fileURLToPath(new URL('../../../clients/python/prunella.py', import.meta.url))

/** Writes a configuration and a first agent. Nothing is written when one of the files is there already. */
export async function run(command: Init, io: Io): Promise<number> {
  const { agent, file, text } = templates[command.agent]
  // Below a package.json that says `commonjs`, a plain `.ts` is not a module.
  const isModule = (name: string): string => (saysCommonJs(io.folder) ? name.replace(/\.ts\b/, '.mts') : name)
  const files = new Map([
    [isModule('prunella.config.ts'), configTemplate(isModule(agent))],
    [isModule(file), text],
  ])
  if (command.agent === 'python') files.set('agents/prunella.py', await readFile(pythonClient, 'utf8'))
  const taken = [...files.keys()].filter((name) => existsSync(join(io.folder, name)))
  if (taken.length > 0) {
    io.err(`${taken.join(' and ')} is there already, and nothing was written. Move it away, or init in another folder.`)
    return exits.failed
  }
  // Its state holds the token: keep it out of version control, unless the user has rules of their own.
  if (!existsSync(join(io.folder, '.gitignore'))) files.set('.gitignore', ignoreTemplate)
  for (const [name, content] of files) {
    const path = join(io.folder, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content, { flag: 'wx' })
  }
  if (command.json) io.out(toJson({ written: [...files.keys()] }))
  else for (const line of [`Wrote ${[...files.keys()].join(', ')}.`, ...nextSteps(io.folder)]) io.out(line)
  return exits.done
}

function saysCommonJs(folder: string): boolean {
  const path = join(folder, 'package.json')
  if (existsSync(path))
    return (JSON.parse(readFileSync(path, 'utf8')) as { readonly type?: unknown }).type === 'commonjs'
  const parent = dirname(folder)
  return parent !== folder && saysCommonJs(parent)
}

function nextSteps(folder: string): readonly string[] {
  return [
    ...(isInstalled(folder) ? [] : ['Next: npm install prunella']),
    'Next: npx prunella up',
    `Then, elsewhere in this folder: npx prunella submit hello '{"name":"Ada"}' --wait`,
  ]
}

/** Whether the configuration's `import … from 'prunella'` will find it. */
function isInstalled(folder: string): boolean {
  try {
    createRequire(join(folder, 'prunella.config.ts')).resolve('prunella/package.json')
    return true
  } catch {
    return false
  }
}
