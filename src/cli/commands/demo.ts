import { stateFolderOf } from '../../config/index.ts'
import type { Demo } from '../command.ts'
import type { DemoIo } from '../demo.ts'
import type { Io } from '../io.ts'

/** What `demo` does to the world beside speaking. */
export interface Showing {
  readonly loadToken: (stateFolder: string) => Promise<string>
  readonly runDemo: (io: DemoIo) => Promise<number>
}

/** The token lies in this folder, so that `prunella status` and the others find the demonstration from here. */
export async function run(command: Demo, io: Io, { loadToken, runDemo }: Showing): Promise<number> {
  const token = command.token ?? io.token ?? (await loadToken(stateFolderOf(io.folder)))
  const over = new AbortController()
  const release = io.onStop(() => over.abort())
  try {
    return await runDemo({ out: io.out, signal: over.signal, port: command.port, once: command.once, token })
  } finally {
    release()
  }
}
