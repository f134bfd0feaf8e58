import { isAbsolute, resolve as resolvePath } from 'node:path'

/** Where the files of a command are looked for. */
export interface CommandContext {
  /** Absolute. */
  readonly root: string
  readonly fileExists: (path: string) => boolean
}

/**
 * What we start runs in a folder of its own, so what names a file of the project
 * is made absolute: the program when it has a slash, an argument when it starts
 * with a dot and slash or when such a file is there.
 */
export function absoluteCommand(command: readonly string[], { root, fileExists }: CommandContext): readonly string[] {
  return command.map((part, index) => {
    const path = resolvePath(root, part)
    if (isAbsolute(part) || part.startsWith('-')) return part
    if (/^\.\.?\//.test(part) || (index === 0 ? part.includes('/') : fileExists(path))) return path
    return part
  })
}
