import { dirname, resolve } from 'node:path'

/** A module's JavaScript, without types. */
export type ReadModule = (path: string) => string

interface Joined {
  /** In the order in which they are evaluated. */
  readonly bodies: string[]
  /** Name of the constant that holds what a module exports. */
  readonly names: Map<string, string>
}

const importStatement = /^import\s*(\{[^}]*\})\s*from\s*'(\.[^'\n]+)';?/gm
const reExportStatement = /^export\s*\{([^}]*)\}\s*from\s*'(\.[^'\n]+)';?/gm
const exportedDeclaration = /^export ((?:async function|function|class|const) +)([\w$]+)/gm
const emptyExport = /^export\s*\{\s*\};?/gm
/** Half of our text, and every replica would read it again: 2 ms of a start. */
const ownLineComment = /^[ \t]*(?:\/\/.*|\/\*(?:(?!\*\/)[\s\S])*\*\/[ \t]*)$/gm
const margins = /^[ \t]+|[ \t]+$/gm
const blankLines = /\n\n+/g
const dynamicImport = /await import\('(\.[^'\n]+)'\)/g

/**
 * A start file, all that it imports, and what agents import as `api`, as one file:
 * seventeen files that Node resolves, reads and links one by one take a start 3 ms.
 * Made for our own files, not for anybody's: named imports by relative path, no
 * cycles, no binding that changes after its module was evaluated, no text over
 * several lines. Each module becomes a function called once, so that none sees
 * another's names.
 *
 * @throws when a module says what is not joined here.
 */
export function joinModules(entry: string, api: string, read: ReadModule): string {
  const joined: Joined = { bodies: [], names: new Map() }
  addModule(api, read, joined)
  const start = take(entry, read, joined).replace(dynamicImport, (_, path: string) => nameOf(entry, path, read, joined))
  const apiExports = exportsOf(api, read(api))
  return [...joined.bodies, start, `export const { ${apiExports.join(', ')} } = ${joined.names.get(api)};`, ''].join(
    '\n',
  )
}

function addModule(path: string, read: ReadModule, joined: Joined): void {
  if (joined.names.has(path)) return
  const body = take(path, read, joined)
  const exported = exportsOf(path, read(path))
  const name = `module${joined.names.size}`
  joined.names.set(path, name)
  joined.bodies.push(`const ${name} = (() => {\n${body}\nreturn { ${exported.join(', ')} };\n})();`)
}

/** A module's text with its imports taken from the constants of the modules before it, and without `export`. */
function take(path: string, read: ReadModule, joined: Joined): string {
  const text = read(path)
    .replace(importStatement, (_, names: string, from: string) => destructured(names, nameOf(path, from, read, joined)))
    .replace(reExportStatement, (_, names: string, from: string) =>
      destructured(`{${names}}`, nameOf(path, from, read, joined)),
    )
    .replace(exportedDeclaration, '$1$2')
    .replace(emptyExport, '')
    .replace(ownLineComment, '')
    .replace(margins, '')
    .replace(blankLines, '\n')
  const left = /^(?:import|export)\b.*/m.exec(text)
  if (left !== null) throw new Error(`${path} cannot be joined: ${left[0]}`)
  const open = text.split('\n').find((line) => line.split('`').length % 2 === 0)
  if (open !== undefined) throw new Error(`${path} cannot be joined: ${open.trim()}`)
  return text
}

function destructured(names: string, module: string): string {
  return `const ${names.replace(/\s+/g, ' ').replaceAll(' as ', ': ')} = ${module};`
}

function exportsOf(path: string, text: string): readonly string[] {
  const declared = [...text.matchAll(exportedDeclaration)].map((match) => match[2] ?? '')
  const again = [...text.matchAll(reExportStatement)].flatMap((match) => namesIn(match[1] ?? ''))
  const names = [...declared, ...again]
  if (names.some((name) => !/^[\w$]+$/.test(name))) throw new Error(`${path} cannot be joined: it renames an export`)
  return names
}

function namesIn(list: string): readonly string[] {
  return list
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}

function nameOf(from: string, specifier: string, read: ReadModule, joined: Joined): string {
  const path = resolve(dirname(from), specifier)
  addModule(path, read, joined)
  return joined.names.get(path) ?? ''
}
