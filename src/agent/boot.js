// The entry of every agent process: `node boot.js /absolute/agent.ts`, started by the supervisor with its channel on
// file descriptor 3. Plain JavaScript, so that everything it loads can go through the hooks below.

// Not by `import`: for its names it would load half of Node (streams, promises, watchers), 7 ms and 2 MiB.
const { existsSync, readFileSync, statSync } = process.getBuiltinModule('node:fs')
const { registerHooks } = process.getBuiltinModule('node:module')
const { join } = process.getBuiltinModule('node:path')
const { fileURLToPath, pathToFileURL } = process.getBuiltinModule('node:url')

/** @typedef {Readonly<Record<string, { mtimeMs: number, size: number, file: string }>>} StrippedIndex */

const agentFile = process.argv[2]
const { PRUNELLA_STRIPPED: strippedFolder } = process.env
// It was for this process; what the agent starts is no business of it.
if (process.env.NODE_COMPILE_CACHE === fileURLToPath(new URL('compiled', import.meta.url)))
  delete process.env.NODE_COMPILE_CACHE
const ownFolder = new URL('../', import.meta.url).href
const agentFolder = fileURLToPath(new URL('.', import.meta.url))
/**
 * What an agent imports as `prunella/agent` is its host's own copy, wherever the agent lies. Where this file and all it
 * imports were joined into one (io/process/join.ts), it is this file.
 */
const agentModule = ['index.js', 'index.ts'].map((file) => join(agentFolder, file)).find(existsSync)
const agentModuleUrl = agentModule === undefined ? import.meta.url : pathToFileURL(agentModule).href

/**
 * TypeScript whose types the supervisor stripped once for all replicas: in its own process each would pay 60 ms and
 * 12 MiB. A file that changed since, or is missing there, is left to Node.
 *
 * @returns {StrippedIndex}
 */
function readStripped() {
  if (strippedFolder === undefined) return {}
  try {
    return JSON.parse(readFileSync(join(strippedFolder, 'index.json'), 'utf8'))
  } catch (error) {
    process.stderr.write(`prunella: ${strippedFolder} cannot be used (${String(error)}); types are stripped here.\n`)
    return {}
  }
}

const stripped = readStripped()

/**
 * JavaScript to run instead of the file, or null.
 *
 * @param {string} path
 */
function strippedSource(path) {
  const entry = Object.hasOwn(stripped, path) ? stripped[path] : undefined
  if (entry === undefined || strippedFolder === undefined) return null
  const { mtimeMs, size } = statSync(path)
  return entry.mtimeMs === mtimeMs && entry.size === size
    ? readFileSync(join(strippedFolder, entry.file), 'utf8')
    : null
}

/** @param {string} url */
const ownModule = (url) => ({ url, format: url.endsWith('.ts') ? 'module-typescript' : 'module', shortCircuit: true })

// Our own files need no search for packages and formats: that is a third of what a start takes.
registerHooks({
  resolve(specifier, context, nextResolve) {
    if (specifier === 'prunella/agent') return ownModule(agentModuleUrl)
    if (specifier.startsWith('.') && context.parentURL?.startsWith(ownFolder)) {
      return ownModule(new URL(specifier, context.parentURL).href)
    }
    return nextResolve(specifier, context)
  },
  load(url, context, nextLoad) {
    if (!url.startsWith('file:')) return nextLoad(url, context)
    const path = fileURLToPath(url)
    const isTypeScript = /\.m?ts$/.test(path) && context.format !== 'commonjs-typescript'
    const isOwn = url.startsWith(ownFolder) && path.endsWith('.js')
    const source = isTypeScript ? strippedSource(path) : isOwn ? readFileSync(path, 'utf8') : null
    return source === null ? nextLoad(url, context) : { format: 'module', source, shortCircuit: true }
  },
})

if (agentFile === undefined) {
  process.stderr.write('This is the inside of a replica. Agents are started by: npx prunella up\n')
  process.exit(2)
}
const { Host } = await import('./host.ts')
const { Misbehaviour } = await import('./chaos.ts')
const chaos = process.argv[3] === '--chaos' ? new Misbehaviour() : null
// Not before the supervisor says so: by then this process is in the groups that limit it.
new Host(agentFile, () => import(pathToFileURL(agentFile).href), chaos)
