import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findConfig, loadConfig } from './index.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'prunella-config-'))
  await writeFile(join(folder, 'a.ts'), '')
})
afterEach(() => rm(folder, { recursive: true }))

test.each([
  { file: 'prunella.config.json', text: '{\n\t"pools": { "a": { "agent": "./a.ts" } }\n}' },
  { file: 'prunella.config.yaml', text: 'pools:\n  a: { agent: ./a.ts }\n' },
  {
    file: 'prunella.config.ts',
    text: "const path: string = './a.ts'\nexport default { pools: { a: { agent: path } } }",
  },
  { file: 'prunella.config.mjs', text: "export default { pools: { a: { agent: './a.ts' } } }" },
])('$file', async ({ file, text }) => {
  await writeFile(join(folder, file), text)
  const config = await loadConfig(findConfig(folder))
  expect(config).toMatchObject({ root: folder, stateFolder: join(folder, '.prunella') })
  expect(config.pools[0]?.agent).toEqual({ kind: 'module', path: join(folder, 'a.ts') })
})

test.each([
  { name: 'a key that stands there twice', file: 'x.json', text: '{"pools":{},"pools":{}}', says: 'cannot be read' },
  { name: 'a syntax error', file: 'x.yaml', text: 'pools: [', says: 'cannot be read' },
  { name: 'no default export', file: 'x.mjs', text: 'export const a = 1', says: 'export default defineConfig' },
  {
    name: 'a refusal names the file',
    file: 'x.json',
    text: '{"pools":{}}',
    says: 'x.json cannot be used:\n  pools must',
  },
])('$name', async ({ file, text, says }) => {
  await writeFile(join(folder, file), text)
  await expect(loadConfig(join(folder, file))).rejects.toMatchObject({
    code: 'PRUNELLA_CONFIG',
    message: expect.stringContaining(says),
  })
})

test('none, a wrong name, and two', async () => {
  expect(() => findConfig(folder)).toThrow('prunella init')
  expect(() => findConfig(folder, 'gone.ts')).toThrow('Check --config')
  await writeFile(join(folder, 'prunella.config.json'), '{}')
  await writeFile(join(folder, 'prunella.config.yaml'), '{}')
  expect(() => findConfig(folder)).toThrow('There are two configurations')
})
