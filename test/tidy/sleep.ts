import { type CallExpression, type NewExpression, type Span, Visitor } from 'oxc-parser'
import { type Breach, isTestCode, type Source } from './source.ts'

const instead =
  "A test waits for what it wants to see: await until(() => condition, { timeoutMs, what: 'the exit' }) of test/until.ts."

/** Benches and the agents in fixtures may sleep; `until` polls, for everybody. */
function applies(path: string): boolean {
  return isTestCode(path) && !/^(bench|test\/fixtures)\//.test(path) && path !== 'test/until.ts'
}

/**
 * Finds `new Promise((resolve) => setTimeout(resolve, ms))` in its variants, and
 * what is imported to the same end. A time limit that rejects is no sleep.
 */
export function checkSleep(source: Source): readonly Breach[] {
  if (!applies(source.path)) return []
  const sleeps: Span[] = []
  const timers: CallExpression[] = []
  const promises: NewExpression[] = []
  new Visitor({
    ImportDeclaration: (node) => node.source.value === 'node:timers/promises' && sleeps.push(node),
    CallExpression: (node) => {
      if (isNamed(node, 'setTimeout')) timers.push(node)
      if (isNamed(node, 'promisify') && textOf(source, node.arguments[0]) === 'setTimeout') sleeps.push(node)
    },
    NewExpression: (node) => isNamed(node, 'Promise') && promises.push(node),
  }).visit(source.program)
  sleeps.push(...timers.filter((timer) => promises.some((promise) => resolves(timer, promise, source))))
  const { path, lineAt } = source
  return sleeps.map(({ start }) => ({ rule: 'sleep', path, line: lineAt(start), message: instead }) as const)
}

function isNamed({ callee }: CallExpression | NewExpression, name: string): boolean {
  return callee.type === 'Identifier' && callee.name === name
}

function textOf({ text }: Source, node: Span | undefined): string {
  return node === undefined ? '' : text.slice(node.start, node.end)
}

/** Whether the timer, inside the promise, calls the promise's `resolve`. */
function resolves(timer: CallExpression, promise: NewExpression, source: Source): boolean {
  const [executor] = promise.arguments
  if (executor?.type !== 'ArrowFunctionExpression' && executor?.type !== 'FunctionExpression') return false
  const [resolve] = executor.params
  if (resolve?.type !== 'Identifier' || timer.start < executor.start || timer.end > executor.end) return false
  return new RegExp(`\\b${resolve.name}\\b`).test(textOf(source, timer.arguments[0]))
}
