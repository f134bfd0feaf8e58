import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkBans } from './bans.ts'
import { checkCycles, checkOrphans } from './graph.ts'
import { importsOf } from './imports.ts'
import { checkMachine } from './machine.ts'
import { checkRooms } from './rooms.ts'
import { checkSize } from './size.ts'
import { checkSleep } from './sleep.ts'
import { type Breach, type File, isCode, isProduct, parse } from './source.ts'

/** Every breach of docs/architecture.md's rules in these files. Pure, so that its own tests can plant some. */
export function tidy(files: readonly File[]): readonly Breach[] {
  const parsed = files.filter(({ path }) => isCode(path)).map(parse)
  const sources = parsed.flatMap((one) => ('program' in one ? [one] : []))
  const unreadable = parsed.flatMap((one) => ('program' in one ? [] : [one]))
  const product = sources.filter(({ path }) => isProduct(path))
  const paths = new Set(files.map(({ path }) => path))
  const imports = product.flatMap((source) => importsOf(source, paths))
  const manifest = files.find(({ path }) => path === 'package.json')
  return [
    ...unreadable,
    ...checkRooms(
      product,
      imports.filter(({ loads }) => loads),
    ), // To start a file elsewhere is not to import it.
    ...checkCycles(imports),
    ...checkOrphans(product, imports, manifest),
    ...sources.flatMap((source) => [...checkBans(source), ...checkSize(source), ...checkSleep(source)]),
    ...files.flatMap(checkMachine),
  ]
}

/** The text files under `root` that are or may be committed: what .gitignore names is left out. */
export function readFiles(root: string): readonly File[] {
  const lines = readFileSync(join(root, '.gitignore'), 'utf8').split('\n')
  const ignored = new Set(['.git', ...lines.map((line) => line.replace(/\/$/, ''))])
  const read = (folder: string): readonly File[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = folder + entry.name
      if (ignored.has(entry.name) || ignored.has(path)) return []
      if (entry.isDirectory()) return read(`${path}/`)
      if (!entry.isFile()) return []
      const text = readFileSync(join(root, path), 'utf8')
      return text.includes('\0') ? [] : [{ path, text }]
    })
  return read('')
}

/** One line a breach, as editors link it. */
export function report(breaches: readonly Breach[]): string {
  return breaches.map(({ path, line, rule, message }) => `${path}:${line} [${rule}] ${message}`).join('\n')
}
