import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { compileOnce } from './compiled.ts'
import { joinModules } from './join.ts'

/** Absolute path of a TypeScript file → the version that was stripped, and the name of its JavaScript beside the index. */
export type StripIndex = Readonly<
  Record<string, { readonly mtimeMs: number; readonly size: number; readonly file: string }>
>

export const indexFile = 'index.json'
/** Beside the start file: what Node compiled of it. */
export const compiledFolder = 'compiled'
/** Files one agent may consist of, before the rest is left to Node's own stripping. */
const filesMax = 5_000

/**
 * Strips the types of `entries` and of everything they import by a relative
 * path, into `folder`. Runs in a process of its own: the stripper takes time and
 * 30 MB that the supervisor should not spend. What cannot be stripped is left
 * out: Node then says what is wrong with it, in the agent's own process.
 *
 * @public Called by name, in a process of its own: see `strip.ts`.
 */
export function runStripJob(folder: string, entries: readonly string[]): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  const index: Record<string, StripIndex[string]> = {}
  const queue = [...entries]
  const seen = new Set(queue)
  for (const path of queue) {
    const source = readSource(path)
    if (source === null) continue
    if (/\.m?ts$/.test(path)) {
      const stripped = strip(source.text)
      if (stripped === null) continue
      const file = `${createHash('sha256').update(path).update(source.text).digest('hex').slice(0, 32)}.mjs`
      writeFileSync(join(folder, file), stripped, { mode: 0o644 })
      index[path] = { mtimeMs: source.mtimeMs, size: source.size, file }
    }
    for (const next of relativeImports(source.text, path)) {
      if (seen.has(next) || seen.size >= filesMax) continue
      seen.add(next)
      queue.push(next)
    }
  }
  writeInOneStep(join(folder, indexFile), JSON.stringify(index))
}

/**
 * Joins our own start file and all it imports into one file in `folder`. In its
 * index every file that went into it has that one's name. A trial start then
 * shows that a replica can start from it, and leaves its compiled code.
 *
 * @param api  What agents import as `prunella/agent`.
 * @public Called by name, in a process of its own: see `strip.ts`.
 */
export async function runJoinJob(
  folder: string,
  [bootFile, api]: readonly [bootFile: string, api: string],
): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  const versions = new Map<string, { readonly mtimeMs: number; readonly size: number }>()
  const text = joinModules(bootFile, api, (path) => {
    const { mtimeMs, size } = statSync(path)
    versions.set(path, { mtimeMs, size })
    const source = readFileSync(path, 'utf8')
    return path.endsWith('.ts') ? stripTypeScriptTypes(source, { mode: 'strip' }) : source
  })
  const file = `boot-${createHash('sha256').update(text).digest('hex').slice(0, 16)}.mjs`
  writeInOneStep(join(folder, file), text)
  await compileOnce(join(folder, file), join(folder, compiledFolder))
  const index = Object.fromEntries([...versions].map(([path, version]) => [path, { ...version, file }]))
  writeInOneStep(join(folder, indexFile), JSON.stringify(index))
}

/** A reader sees the old file or the new one, never half of one. */
function writeInOneStep(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o644 })
  renameSync(`${path}.new`, path)
}

/** By pattern: one import too many costs one stripped file, one missed is stripped by Node itself. */
export function relativeImports(source: string, from: string): readonly string[] {
  const found = source.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*(['"])(\.{1,2}\/[^'"\n]+)\1/g)
  return [...found].map((match) => fileURLToPath(new URL(match[2] ?? '', pathToFileURL(join(dirname(from), 'x')))))
}

function readSource(path: string): { readonly text: string; readonly mtimeMs: number; readonly size: number } | null {
  try {
    const { mtimeMs, size } = statSync(path)
    return { text: readFileSync(path, 'utf8'), mtimeMs, size }
  } catch {
    return null // Node names the missing file when the agent imports it.
  }
}

function strip(text: string): string | null {
  try {
    return stripTypeScriptTypes(text, { mode: 'strip' })
  } catch {
    return null
  }
}
