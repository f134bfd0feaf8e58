import type { Import } from './imports.ts'
import type { Breach, File, Source } from './source.ts'

/**
 * Files that nothing imports because something outside starts them. What is
 * started by name needs no line: `new URL('./file.ts', import.meta.url)` counts
 * as an import, and so do the `exports` and `bin` of package.json.
 */
const entries: readonly string[] = []

/** Files of `src` that no other file of `src` mentions and no entry reaches. */
export function checkOrphans(
  sources: readonly Source[],
  imports: readonly Import[],
  manifest: File | undefined,
): readonly Breach[] {
  const wanted = new Set([
    ...entries,
    ...entriesOf(manifest),
    ...imports.filter(({ from, target }) => from !== target).map(({ target }) => target),
  ])
  const message =
    "Nobody imports this file. Import it, delete it, or, when it is started by name, name it by `new URL('./file.ts', import.meta.url)` or in `entries` of test/tidy/graph.ts."
  return sources
    .filter(({ path }) => !wanted.has(path))
    .map(({ path }) => ({ rule: 'orphan', path, line: 1, message }) as const)
}

/** Every source file that package.json names, in `exports` or as the compiled file of a `bin`. */
function entriesOf(manifest: File | undefined): readonly string[] {
  const text = manifest?.text ?? ''
  const named = [...text.matchAll(/"(?:\.\/)?(src|dist)\/([^"]+)\.[jt]s"/g)]
  return named.flatMap(([, , stem]) => [`src/${stem}.ts`, `src/${stem}.js`])
}

/** At least one breach for every group of files that import each other; type imports count. */
export function checkCycles(imports: readonly Import[]): readonly Breach[] {
  const edges = Map.groupBy(
    imports.filter(({ target, loads }) => target !== null && loads),
    ({ from }) => from,
  )
  const done = new Set<string>()
  const breaches: Breach[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    for (const { target, line } of edges.get(path) ?? []) {
      if (target === null || done.has(target)) continue
      const start = trail.indexOf(target)
      if (start === -1) visit(target, [...trail, target])
      else breaches.push(cycle(path, line, [...trail.slice(start), target]))
    }
    done.add(path)
  }
  for (const path of edges.keys()) if (!done.has(path)) visit(path, [path])
  return breaches
}

function cycle(path: string, line: number, trail: readonly string[]): Breach {
  const message = `Import cycle: ${trail.join(' → ')}. Move what both need into a third file.`
  return { rule: 'cycle', path, line, message }
}
