import { type Expression, type Node, Visitor } from 'oxc-parser'
import { type Breach, isTestCode, type Source } from './source.ts'

const maxFileLines = 400
const maxFunctionLines = 70

export function checkSize(source: Source): readonly Breach[] {
  return [...checkFile(source), ...checkFunctions(source)]
}

function checkFile({ path, text }: Source): readonly Breach[] {
  const lines = text.trimEnd().split('\n').length
  if (lines <= maxFileLines) return []
  const message = `${lines} lines, at most ${maxFileLines}. Split the file where its subject changes.`
  return [{ rule: 'file-length', path, line: maxFileLines + 1, message }]
}

/**
 * Counts from the parameters to the closing brace. A function that registers
 * tests (the callback of a `describe`, a contract suite) is a list, and has no limit.
 */
function checkFunctions({ path, program, lineAt }: Source): readonly Breach[] {
  const breaches: Breach[] = []
  const open: { registers: boolean }[] = []
  const enter = (): void => void open.push({ registers: false })
  const leave = (node: Node): void => {
    const line = lineAt(node.start)
    const lines = lineAt(node.end) - line + 1
    if (open.pop()?.registers || lines <= maxFunctionLines) return
    const message = `A function of ${lines} lines, at most ${maxFunctionLines}. Name a part of it and move that out.`
    breaches.push({ rule: 'function-length', path, line, message })
  }
  new Visitor({
    FunctionDeclaration: enter,
    'FunctionDeclaration:exit': leave,
    FunctionExpression: enter,
    'FunctionExpression:exit': leave,
    ArrowFunctionExpression: enter,
    'ArrowFunctionExpression:exit': leave,
    CallExpression: ({ callee }) => {
      const enclosing = open.at(-1)
      if (enclosing !== undefined && isTestCode(path) && registersTests(callee)) enclosing.registers = true
    },
  }).visit(program)
  return breaches
}

/** `test`, `describe.skip`, `test.each(rows)`. */
function registersTests(callee: Expression): boolean {
  if (callee.type === 'Identifier') return /^(describe|test|it)$/.test(callee.name)
  if (callee.type === 'MemberExpression') return registersTests(callee.object)
  return callee.type === 'CallExpression' && registersTests(callee.callee)
}
