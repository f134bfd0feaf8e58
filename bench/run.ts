import { readdir, readFile } from 'node:fs/promises'

/** `npm run bench -- NAME [--runs N] [--seed N] [--short]`; without a name it lists what there is. */
const folder = new URL('.', import.meta.url)
const [name, ...rest] = process.argv.slice(2)
const names = (await readdir(folder))
  .filter((file) => file.endsWith('.ts') && !['run.ts', 'support.ts'].includes(file))
  .map((file) => file.slice(0, -3))

if (name === undefined || !names.includes(name)) {
  if (name !== undefined) console.error(`There is no benchmark "${name}".`)
  for (const each of names) {
    const source = await readFile(new URL(`${each}.ts`, folder), 'utf8')
    console.log(`${each.padEnd(16)}${/^\/\*\* (.+?)(?: \*\/)?$/m.exec(source)?.[1] ?? ''}`)
  }
  process.exit(name === undefined ? 0 : 2)
}

const { run } = (await import(new URL(`${name}.ts`, folder).href)) as {
  readonly run: (argv: readonly string[]) => Promise<boolean>
}
process.exit((await run(rest)) ? 0 : 1)
