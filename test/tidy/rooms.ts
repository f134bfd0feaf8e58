import { isBuiltin } from 'node:module'
import type { Import } from './imports.ts'
import { type Breach, isTestCode, type Source } from './source.ts'

/** One row of the table "Who may import whom" in docs/architecture.md. */
interface Room {
  /** Folders or files under `src`, besides the room itself. */
  readonly may: readonly string[]
  readonly node?: boolean
  readonly packages?: boolean
}

const rooms: Readonly<Record<string, Room>> = {
  model: { may: [] },
  policy: { may: ['model/'] },
  port: { may: ['model/'] },
  protocol: { may: ['model/'] },
  runtime: { may: ['model/', 'policy/', 'port/'] },
  io: { may: ['model/', 'port/', 'protocol/'], node: true, packages: true },
  gateway: {
    may: ['model/', 'port/', 'policy/breaker.ts', 'policy/gate/', 'policy/detect/'],
    node: true,
    packages: true,
  },
  http: { may: ['model/', 'port/'], node: true, packages: true },
  kubernetes: { may: ['model/', 'port/'], node: true, packages: true },
  config: { may: ['model/'], node: true, packages: true },
  offline: { may: ['model/', 'policy/', 'port/'] },
  cli: { may: ['model/', 'config/', 'compose.ts', 'offline/', 'kubernetes/'], node: true, packages: true },
  agent: { may: ['model/', 'protocol/'], node: true },
  adapter: { may: ['agent/'], node: true, packages: true },
  'compose.ts': { may: [''], node: true, packages: true },
  'index.ts': { may: [''], node: true, packages: true },
}

/** The schema library and the HTTP shell serve several rooms. */
const sharedPackages = ['zod', 'fastify']

/** `src/policy/detect/stall.ts` is in `policy`, `src/compose.ts` in `compose.ts`. */
function roomOf(path: string): string {
  return path.split('/')[1] ?? ''
}

export function checkRooms(sources: readonly Source[], imports: readonly Import[]): readonly Breach[] {
  const unknown = sources.filter(({ path }) => rooms[roomOf(path)] === undefined)
  return [
    ...unknown.map(({ path }) => breach('room', { from: path, line: 1 }, notInTable(roomOf(path)))),
    ...imports.flatMap((one) => [...checkRoom(one), ...checkCompose(one)]),
    ...checkPackages(imports),
    ...sources.filter(({ path }) => path === 'src/index.ts').flatMap(checkIndex),
  ]
}

function breach(rule: Breach['rule'], { from, line }: Pick<Import, 'from' | 'line'>, message: string): Breach {
  return { rule, path: from, line, message }
}

function notInTable(name: string): string {
  return `src/${name} is not in the table of docs/architecture.md. Move it into a room of the table, or add a row there and in test/tidy/rooms.ts.`
}

function checkRoom(one: Import): readonly Breach[] {
  const name = roomOf(one.from)
  const room = rooms[name]
  if (room === undefined) return []
  if (one.target !== null) return reaches(one, room, one.target) ? [] : [breach('room', one, mayNot(one, name, room))]
  const allowed = isBuiltin(one.specifier) ? room.node : room.packages
  return allowed && !/^prunella(\/|$)/.test(one.specifier) ? [] : [breach('room', one, mayNot(one, name, room))]
}

function reaches({ from }: Import, { may }: Room, target: string): boolean {
  if (!target.startsWith('src/') || isTestCode(target)) return false
  if (roomOf(target) === 'compose.ts') return true // Rule `compose` says who may.
  if (roomOf(from) === roomOf(target)) return roomOf(from) !== 'io' || isOneIoFolder(from, target)
  return may.some((place) => target.startsWith(`src/${place}`))
}

/** One io folder never imports another; a folder and what lies in it are one. */
function isOneIoFolder(a: string, b: string): boolean {
  const [folder, other] = [a, b].map((path) => path.slice(0, path.lastIndexOf('/') + 1)) as [string, string]
  return folder.startsWith(other) || other.startsWith(folder)
}

function mayNot({ specifier }: Import, name: string, { may, node, packages }: Room): string {
  const places = [...may, ...(node ? ['node:'] : []), ...(packages ? ['its library'] : [])]
  const list = places.length === 0 ? 'nothing' : places.map((place) => place || 'everything').join(', ')
  return `src/${name} may not import '${specifier}'; besides itself it may import ${list}. Take what you need as an argument through an interface of src/port, or move the shared noun to src/model.`
}

function checkCompose(one: Import): readonly Breach[] {
  if (one.target !== 'src/compose.ts' || ['cli', 'index.ts'].includes(roomOf(one.from))) return []
  const message = 'Only src/cli and src/index.ts import compose.ts. Take the part you need as an argument.'
  return [breach('compose', one, message)]
}

function checkPackages(imports: readonly Import[]): readonly Breach[] {
  const external = imports.filter(({ target, specifier }) => target === null && !isBuiltin(specifier))
  const owners = new Map<string, Import>()
  return external.flatMap((one) => {
    const name = one.specifier.split('/', one.specifier.startsWith('@') ? 2 : 1).join('/')
    const owner = owners.get(name) ?? one
    owners.set(name, owner)
    if (roomOf(owner.from) === roomOf(one.from) || sharedPackages.includes(name)) return []
    const message = `'${name}' is named in src/${roomOf(owner.from)} already (${owner.from}). Wrap it there, and take the wrapper as an argument.`
    return [breach('package', one, message)]
  })
}

function checkIndex({ path, program, lineAt }: Source): readonly Breach[] {
  const reexports = (node: (typeof program.body)[number]): boolean =>
    node.type === 'ExportAllDeclaration' || (node.type === 'ExportNamedDeclaration' && node.source !== null)
  return program.body
    .filter((node) => !reexports(node))
    .map((node) => {
      const message = "src/index.ts holds re-exports only: write `export { name } from './room/file.ts'`."
      return breach('index', { from: path, line: lineAt(node.start) }, message)
    })
}
