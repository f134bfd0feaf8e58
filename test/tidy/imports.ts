import { posix } from 'node:path'
import { type Argument, type NewExpression, Visitor } from 'oxc-parser'
import type { Source } from './source.ts'

/** One mention of another module: an import, a re-export, `import()`, `import('…').Type` or `new URL('…', import.meta.url)`. */
export interface Import {
  readonly from: string
  readonly line: number
  readonly specifier: string
  /** The file meant, when the specifier is relative. */
  readonly target: string | null
  /** False for `new URL`: the file is named, to be started elsewhere, and not loaded here. */
  readonly loads: boolean
}

/** @param paths  All files there are: `new URL(`./boot${extension}`, import.meta.url)` means the one that fits. */
export function importsOf(source: Source, paths: ReadonlySet<string>): readonly Import[] {
  const found: Import[] = []
  const add = (specifier: string | null | undefined, offset: number, loads = true): void => {
    if (specifier === null || specifier === undefined) return
    const target = /^\.{1,2}\//.test(specifier) ? posix.join(posix.dirname(source.path), specifier) : null
    found.push({ from: source.path, line: source.lineAt(offset), specifier, target, loads })
  }
  new Visitor({
    ImportDeclaration: (node) => add(node.source.value, node.start),
    ExportAllDeclaration: (node) => add(node.source.value, node.start),
    ExportNamedDeclaration: (node) => add(node.source?.value, node.start),
    ImportExpression: (node) => add(textOf(node.source), node.start),
    TSImportType: (node) => add(node.source.value, node.start),
    NewExpression: (node) => add(fileOf(node, source.path, paths), node.start, false),
  }).visit(source.program)
  return found
}

function textOf(node: Argument | undefined): string | null {
  return node?.type === 'Literal' && typeof node.value === 'string' ? node.value : null
}

/** The specifier in `new URL('./file.ts', import.meta.url)`; a template may leave the extension open. */
function fileOf({ callee, arguments: [first, base] }: NewExpression, from: string, paths: ReadonlySet<string>) {
  if (callee.type !== 'Identifier' || callee.name !== 'URL' || base?.type !== 'MemberExpression') return null
  if (base.object.type !== 'MetaProperty') return null
  if (first?.type !== 'TemplateLiteral') return textOf(first)
  const stem = first.quasis[0]?.value.raw.replace(/\.$/, '') ?? ''
  const wanted = posix.join(posix.dirname(from), stem)
  const extension = ['.ts', '.js'].find((end) => stem.startsWith('.') && paths.has(wanted + end))
  return extension === undefined ? null : stem + extension
}
