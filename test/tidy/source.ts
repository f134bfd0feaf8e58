import { parseSync, type Visitor } from 'oxc-parser'

export type Program = Parameters<Visitor['visit']>[0]

/** A committed file. Paths are relative to the repository, with `/`. */
export interface File {
  readonly path: string
  readonly text: string
}

/** A file that was parsed. */
export interface Source extends File {
  readonly program: Program
  readonly lineAt: (offset: number) => number
}

export interface Breach {
  readonly rule: Rule
  readonly path: string
  readonly line: number
  /** What is wrong, and what to write instead. */
  readonly message: string
}

export const rules = [
  'any',
  'async',
  'clock',
  'compose',
  'console',
  'cycle',
  'default-export',
  'enum',
  'environment',
  'file-length',
  'function-length',
  'index',
  'machine',
  'orphan',
  'package',
  'random',
  'room',
  'sleep',
  'syntax',
  'timer',
] as const

export type Rule = (typeof rules)[number]

const codeFolders = ['src', 'test', 'bench', 'examples', 'agents', 'web']

/** Code of this repository: what lies in one of its folders, and the configuration files beside them. */
export function isCode(path: string): boolean {
  const [folder = '', ...below] = path.split('/')
  return /\.[cm]?[jt]sx?$/.test(path) && (below.length === 0 || codeFolders.includes(folder))
}

export function isTestCode(path: string): boolean {
  return /\.test\.tsx?$/.test(path) || /^(test|bench)\//.test(path)
}

/** Code that ships: under `src`, and not a test. */
export function isProduct(path: string): boolean {
  return path.startsWith('src/') && !isTestCode(path)
}

export function parse({ path, text }: File): Source | Breach {
  const { program, errors } = parseSync(path, text)
  const lineAt = (offset: number): number => text.slice(0, offset).split('\n').length
  const [error] = errors
  if (error === undefined) return { path, text, program, lineAt }
  return {
    rule: 'syntax',
    path,
    line: lineAt(error.labels[0]?.start ?? 0),
    message: `Does not parse: ${error.message}`,
  }
}
