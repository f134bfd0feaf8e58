import {
  type Expression,
  type ImportDeclaration,
  type PropertyKey,
  type Span,
  type VariableDeclarator,
  Visitor,
} from 'oxc-parser'
import type { Source } from './source.ts'

/**
 * One thing a file does that a ban may name:
 * `Date.now`, `setTimeout()`, `new Date()` (without arguments), `node:timers#setTimeout`,
 * and of the syntax `any`, `async`, `await`, `enum`, `export default`.
 */
export interface Use {
  readonly name: string
  readonly line: number
}

export function usesOf({ program, lineAt }: Source): readonly Use[] {
  const uses: Use[] = []
  const add = (name: string, { start }: Span): void => {
    uses.push({ name, line: lineAt(start) })
  }
  const addAll = (names: readonly string[], node: Span): void => {
    for (const name of names) add(name, node)
  }
  const addAsync = (node: Span & { async: boolean }): void => {
    if (node.async) add('async', node)
  }
  new Visitor({
    MemberExpression: (node) => add(dotted(node) ?? '', node),
    CallExpression: (node) => add(`${dotted(node.callee) ?? ''}()`, node),
    NewExpression: (node) => node.arguments.length === 0 && add(`new ${dotted(node.callee) ?? ''}()`, node),
    VariableDeclarator: (node) => addAll(taken(node), node),
    ImportDeclaration: (node) => addAll(imported(node), node),
    FunctionDeclaration: addAsync,
    FunctionExpression: addAsync,
    ArrowFunctionExpression: addAsync,
    AwaitExpression: (node) => add('await', node),
    ForOfStatement: (node) => node.await && add('await', node),
    TSAnyKeyword: (node) => add('any', node),
    TSEnumDeclaration: (node) => add('enum', node),
    ExportDefaultDeclaration: (node) => add('export default', node),
    ExportSpecifier: (node) => nameOf(node.exported) === 'default' && add('export default', node),
  }).visit(program)
  return uses
}

/** `Date.now` for the expression of that name, also through `globalThis`; null for anything computed. */
function dotted(node: Expression): string | null {
  if (node.type === 'Identifier') return node.name
  if (node.type !== 'MemberExpression') return null
  const object = dotted(node.object)
  const property = node.computed ? literal(node.property) : node.property.name
  if (object === null || property === null) return null
  return object === 'globalThis' ? property : `${object}.${property}`
}

function literal(node: Expression): string | null {
  return node.type === 'Literal' && typeof node.value === 'string' ? node.value : null
}

/** `const { env } = process` takes `process.env`. */
function taken({ id, init }: VariableDeclarator): readonly string[] {
  const object = init === null ? null : dotted(init)
  if (id.type !== 'ObjectPattern' || object === null) return []
  const keys = id.properties.map((property) => (property.type === 'Property' ? nameOf(property.key) : null))
  return keys.flatMap((key) => (key === null ? [] : [object === 'globalThis' ? key : `${object}.${key}`]))
}

function imported({ source, specifiers }: ImportDeclaration): readonly string[] {
  return specifiers.map((specifier) => {
    const name = specifier.type === 'ImportSpecifier' ? nameOf(specifier.imported) : '*'
    return `${source.value}#${name}`
  })
}

function nameOf(node: PropertyKey): string | null {
  return node.type === 'Identifier' ? node.name : literal(node as Expression)
}
