import { expect, test } from 'vitest'
import { joinModules } from './join.ts'

const reader =
  (files: Readonly<Record<string, string>>) =>
  (path: string): string =>
    files[path] ?? ''

const api = { '/a/api.js': "export { Trouble } from './trouble.js';", '/a/trouble.js': 'export class Trouble {}' }
const evaluate = (text: string): Promise<Readonly<Record<string, unknown>>> =>
  import(`data:text/javascript,${encodeURIComponent(text)}`)

test('every module is evaluated once, before those that import it, and sees only its own names', async () => {
  const text = joinModules(
    '/a/start.js',
    '/a/api.js',
    reader({
      ...api,
      '/a/start.js': "const { Host } = await import('./host.js')\nglobalThis.joinedHost = new Host()",
      '/a/host.js': [
        "import {\n  limit as most,\n  next,\n} from './b/count.js'",
        "import { Trouble } from './trouble.js'",
        'const limit = 5',
        'export class Host { seen = [limit, most, next()]; trouble = Trouble }',
      ].join('\n'),
      '/a/b/count.js': 'export const limit = 7\nlet count = 0\nexport function next() { return ++count }\nnext()',
    }),
  )
  const { Trouble } = await evaluate(text)
  expect((globalThis as Record<string, unknown>)['joinedHost']).toEqual({ seen: [5, 7, 2], trouble: Trouble })
})

test('comments on lines of their own are left out, and nothing else', async () => {
  const start = [
    '/** A comment',
    ' * over `lines`. */',
    "globalThis.joinedText = 'a /* b */ c // d' // Said behind.",
    '  // Said alone.',
    '/* before */ globalThis.joinedText += 1 /* behind */',
  ]
  const text = joinModules('/a/start.js', '/a/api.js', reader({ ...api, '/a/start.js': start.join('\n') }))
  await evaluate(text)
  expect((globalThis as Record<string, unknown>)['joinedText']).toBe('a /* b */ c // d1')
  expect(text).not.toMatch(/over|alone/)
})

test.each([
  { name: 'a default import', text: "import all from './trouble.js'" },
  { name: 'a namespace', text: "import * as all from './trouble.js'" },
  { name: 'a package', text: "import { all } from 'somewhere'" },
  { name: 'a default export', text: 'export default 1' },
  { name: 'a binding that may change', text: 'export let all = 1' },
  { name: 'a text over several lines', text: 'export const all = `\n// not a comment\n`' },
  { name: 'a renamed export', text: "export { Trouble as Worry } from './trouble.js'" },
])('$name is refused', ({ text }) => {
  const files = { ...api, '/a/start.js': "await import('./host.js')", '/a/host.js': text }
  expect(() => joinModules('/a/start.js', '/a/api.js', reader(files))).toThrow(/host\.js cannot be joined/)
})
