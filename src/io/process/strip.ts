import { spawn } from 'node:child_process'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { indexFile, type StripIndex } from './strip-job.ts'

/** `.ts` when we run from source, `.js` from the package. */
const ownExtension = extname(import.meta.url)
const jobUrl = new URL(`./strip-job${ownExtension}`, import.meta.url).href
const runJob =
  'const { runStripJob } = await import(process.argv[1]); runStripJob(process.argv[2], process.argv.slice(3))'
const jobBoundMs = 60_000

/** What starts every module agent; plain JavaScript, also in `src`. */
export const ownBootFile = fileURLToPath(new URL('../../agent/boot.js', import.meta.url))
export const runsFromSource = ownExtension === '.ts'

/**
 * Strips an agent's types once for all its replicas: in every process of its
 * own it would cost 60 ms and 12 MiB. A changed file (time or size) is stripped
 * again at the next spawn.
 */
export interface Stripper {
  /** The folder for `PRUNELLA_STRIPPED`, or null when there is nothing to strip. */
  prepare(name: string, agentFile: string): Promise<string | null>
}

export function createStripper(cacheFolder: string, bootFile: string, onTrouble: (text: string) => void): Stripper {
  const indexes = new Map<string, StripIndex>()
  const running = new Map<string, Promise<void>>()

  async function refresh(folder: string, agentFile: string): Promise<void> {
    const index = indexes.get(folder) ?? (await readIndex(folder))
    if (index === null || !(await isCurrent(index, agentFile)))
      await runStripProcess(folder, entriesOf(agentFile, bootFile))
    indexes.set(folder, (await readIndex(folder)) ?? {})
  }

  return {
    async prepare(name, agentFile) {
      if (!runsFromSource && !/\.m?ts$/.test(agentFile)) return null
      // Versions of Node strip differently.
      const folder = join(cacheFolder, process.version, name)
      const known = indexes.get(folder)
      if (known !== undefined && (await isCurrent(known, agentFile))) return folder
      const job = running.get(folder) ?? refresh(folder, agentFile).finally(() => running.delete(folder))
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
    },
  }
}

function entriesOf(agentFile: string, bootFile: string): readonly string[] {
  const ours = [bootFile, fileURLToPath(new URL(`../../agent/index${ownExtension}`, import.meta.url))]
  return runsFromSource ? [agentFile, ...ours] : [agentFile]
}

async function readIndex(folder: string): Promise<StripIndex | null> {
  try {
    return JSON.parse(await readFile(join(folder, indexFile), 'utf8'))
  } catch {
    return null // Not stripped yet.
  }
}

async function isCurrent(index: StripIndex, agentFile: string): Promise<boolean> {
  if (/\.m?ts$/.test(agentFile) && index[agentFile] === undefined) return false
  const same = await Promise.all(
    Object.entries(index).map(async ([path, { mtimeMs, size }]) => {
      const now = await stat(path).catch(() => null)
      return now !== null && now.mtimeMs === mtimeMs && now.size === size
    }),
  )
  return same.every(Boolean)
}

async function runStripProcess(folder: string, entries: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 })
  const argv = ['--no-warnings', '--input-type=module', '-e', runJob, jobUrl, folder, ...entries]
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
