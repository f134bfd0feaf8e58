import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { encode } from '../../protocol/encode.ts'
import { protocolVersion, type SupervisorFrame } from '../../protocol/frames.ts'

const leaseMs = 60_000
const trialMs = 20_000
const agentText = `import { defineAgent } from 'prunella/agent'
export default defineAgent({ run: async (_, ctx) => ctx.tool('one', {}, () => null) })
`

/** What every start does, and a task with a tool call: so much is compiled before it is needed. */
const life: readonly SupervisorFrame[] = [
  {
    type: 'adopt',
    leaseMs,
    protocol: protocolVersion,
    pool: 'trial',
    replica: 'trial/0',
    incarnation: 1,
    pulseMs: 1_000,
    concurrency: 1,
    resetMs: 1_000,
  },
  { type: 'task', leaseMs, task: 't', fence: 1, attempt: 1, input: null, deadlineMs: null, previous: null },
]

/**
 * Lets a replica live once, so that Node keeps the code it compiles (`NODE_COMPILE_CACHE`) in `folder`, which every
 * other replica then reads: 2 ms of a start. It is the proof, too, that a replica can start from `bootFile`.
 *
 * @throws when it does not get to the end of its task.
 */
export async function compileOnce(bootFile: string, folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  const agentFile = join(folder, 'trial.mjs')
  writeFileSync(agentFile, agentText, { mode: 0o644 })
  const child = spawn(process.execPath, [bootFile, agentFile], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    timeout: trialMs,
    env: { NODE_COMPILE_CACHE: folder },
  })
  const channel = child.stdio[3] as Duplex
  let heard = ''
  let said = ''
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) =>
      heard.includes('"type":"done"')
        ? resolve()
        : reject(new Error(`a trial start ended with ${code}: ${said}${heard}`)),
    )
  })
  channel.on('error', () => undefined) // Its end says more.
  channel.on('data', (chunk: Buffer) => {
    heard += chunk.toString()
    if (heard.includes('"type":"done"')) channel.end() // Node writes what it compiled when it ends.
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  channel.write(life.map(encode).join(''))
  await ended
  for (const version of versionsIn(folder)) {
    for (const file of readdirSync(join(folder, version))) chmodSync(join(folder, version, file), 0o644)
  }
}

/** Node names the folder after its version, V8's flags, and the user: another user finds it by a link. */
export function shareCompiled(folder: string, user: number): void {
  const own = `-${process.getuid?.()}`
  for (const version of versionsIn(folder).filter((name) => name.endsWith(own))) {
    try {
      symlinkSync(version, join(folder, `${version.slice(0, -own.length)}-${user}`))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

function versionsIn(folder: string): readonly string[] {
  return readdirSync(folder).filter((name) => /^v\d/.test(name))
}
