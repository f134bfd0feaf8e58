import { spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compiledFolder, indexFile, type StripIndex } from './strip-job.ts'

/** `.ts` when we run from source, `.js` from the package. */
const ownExtension = extname(import.meta.url)
const jobUrl = new URL(`./strip-job${ownExtension}`, import.meta.url).href
type JobName = 'runStripJob' | 'runJoinJob'
const runJob = 'const [, url, name, folder, ...files] = process.argv; await (await import(url))[name](folder, files)'
const jobBoundMs = 60_000

/** What starts every module agent; plain JavaScript, also in `src`. */
export const ownBootFile = fileURLToPath(new URL('../../agent/boot.js', import.meta.url))
/** What agents import as `prunella/agent`. */
const apiFile = fileURLToPath(new URL(`../../agent/index${ownExtension}`, import.meta.url))
export const runsFromSource = ownExtension === '.ts'

/** What a replica of a module agent starts from. */
export interface Prepared {
  /** Ours, joined with all it imports, or as it lies in the package. */
  readonly bootFile: string
  /** The folder for `PRUNELLA_STRIPPED`, or null when there is nothing to strip. */
  readonly strippedFolder: string | null
  /** The folder for `NODE_COMPILE_CACHE`, or null where a start is from files that were not joined. */
  readonly compiledFolder: string | null
}

/**
 * Strips an agent's types once for all its replicas: in every process of its
 * own it would cost 60 ms and 12 MiB. A changed file (time or size) is stripped
 * again at the next spawn. Our own files are joined once in the supervisor's life:
 * what runs beside it then speaks as it does, also after an upgrade in place.
 */
export interface Stripper {
  prepare(name: string, agentFile: string): Promise<Prepared>
}

export function createStripper(cacheFolder: string, bootFile: string, onTrouble: (text: string) => void): Stripper {
  const indexes = new Map<string, StripIndex>()
  const running = new Map<string, Promise<void>>()
  let joined: Promise<Pick<Prepared, 'bootFile' | 'compiledFolder'>> | null = null

  async function refresh(folder: string, job: JobName, files: readonly [string, ...string[]]): Promise<void> {
    const index = indexes.get(folder) ?? (await readIndex(folder))
    if (index === null || !isCurrent(index, files[0])) await runJobProcess(job, folder, files)
    indexes.set(folder, (await readIndex(folder)) ?? {})
  }

  async function prepareBoot(): Promise<Pick<Prepared, 'bootFile' | 'compiledFolder'>> {
    const folder = join(cacheFolder, 'host', process.version)
    try {
      await refresh(folder, 'runJoinJob', [bootFile, apiFile])
      const file = indexes.get(folder)?.[bootFile]?.file
      if (file === undefined) throw new Error(`${folder} has no start file`)
      return { bootFile: join(folder, file), compiledFolder: join(folder, compiledFolder) }
    } catch (error) {
      onTrouble(
        `The files of an agent's host could not be joined (${String(error)}); each replica loads them one by one.`,
      )
      return { bootFile, compiledFolder: null }
    }
  }

  async function prepareAgent(name: string, agentFile: string): Promise<string | null> {
    if (!/\.m?ts$/.test(agentFile)) return null
    // Versions of Node strip differently.
    const folder = join(cacheFolder, process.version, name)
    const known = indexes.get(folder)
    if (known !== undefined && isCurrent(known, agentFile)) return folder
    const job = running.get(folder) ?? refresh(folder, 'runStripJob', [agentFile]).finally(() => running.delete(folder))
    running.set(folder, job)
    return job.then(
      () => folder,
      (error: unknown) => {
        onTrouble(
          `Types of ${agentFile} could not be stripped once for all (${String(error)}); each replica does it itself.`,
        )
        return null
      },
    )
  }

  return {
    async prepare(name, agentFile) {
      joined ??= prepareBoot()
      const [boot, strippedFolder] = await Promise.all([joined, prepareAgent(name, agentFile)])
      return { ...boot, strippedFolder }
    },
  }
}

async function readIndex(folder: string): Promise<StripIndex | null> {
  try {
    return JSON.parse(await readFile(join(folder, indexFile), 'utf8'))
  } catch {
    return null // Not stripped yet.
  }
}

/** Synchronous, as is the look at who may read them: by way of the thread pool it was 1.4 ms of every start. */
function isCurrent(index: StripIndex, file: string): boolean {
  if (index[file] === undefined) return false
  return Object.entries(index).every(([path, { mtimeMs, size }]) => {
    const now = statSync(path, { throwIfNoEntry: false })
    return now?.mtimeMs === mtimeMs && now.size === size
  })
}

async function runJobProcess(name: JobName, folder: string, files: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 })
  const argv = ['--no-warnings', '--input-type=module', '-e', runJob, jobUrl, name, folder, ...files]
  const job = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'pipe'], timeout: jobBoundMs, env: {} })
  let said = ''
  job.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2_000)
  })
  await new Promise<void>((resolve, reject) => {
    job.on('error', reject)
    job.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`exit ${code}: ${said}`))))
  })
}
