import type { Breach, File } from './source.ts'

/** Spelled so that this file does not match itself. */
const foreign: readonly { readonly pattern: RegExp; readonly what: string; readonly instead: string }[] = [
  {
    pattern: /(?<![\w.~-])\/(?:wor[k]|roo[t])\/[\w.-]*/,
    what: 'a path of one machine',
    instead: 'Write it relative to the repository, or under the temporary directory.',
  },
  {
    pattern: /\bregistr[y]\.(?:npmjs|yarnpkg)\.\w+|\bdeb\.debia[n]\.org|https?:\/\/(?:registr[y]|de[b])\.[\w.-]+/,
    what: 'the host of a package registry',
    instead: 'Leave it to the configuration of the machine; .npmrc keeps it out of the lockfile.',
  },
]

export function checkMachine({ path, text }: File): readonly Breach[] {
  return text.split('\n').flatMap((content, index) =>
    foreign.flatMap(({ pattern, what, instead }) => {
      const [found] = pattern.exec(content) ?? []
      if (found === undefined) return []
      return [{ rule: 'machine', path, line: index + 1, message: `'${found}' is ${what}. ${instead}` } as const]
    }),
  )
}
