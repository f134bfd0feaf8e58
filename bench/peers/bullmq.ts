import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Queue, QueueEvents, Worker } from 'bullmq'
import { waitFor } from '../support.ts'

/** BullMQ's sandboxed processors, four at a time, on a Redis of its own with append-only every second. */
export interface Peer {
  /** No-op jobs a second, add to completed. */
  rate(jobs: number): Promise<number>
  end(): Promise<void>
}

const concurrency = 4
const batch = 500

/** Null where there is no `redis-server`. */
export async function startBullMq(): Promise<Peer | null> {
  if (spawnSync('redis-server', ['--version']).status !== 0) return null
  const folder = await mkdtemp(join(tmpdir(), 'prunella-redis-'))
  const socket = join(folder, 'redis.sock')
  const argv = [
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--appendonly',
    'yes',
    '--appendfsync',
    'everysec',
    '--save',
    '',
    '--dir',
    folder,
  ]
  const redis: ChildProcess = spawn('redis-server', argv, { stdio: 'ignore' })
  const connection = { path: socket, maxRetriesPerRequest: null }
  const queue = new Queue('noop', { connection })
  const events = new QueueEvents('noop', { connection })
  const worker = new Worker('noop', fileURLToPath(new URL('../agents/bullmq-noop.mjs', import.meta.url)), {
    connection,
    concurrency,
  })
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker.waitUntilReady()])
  let completed = 0
  worker.on('completed', () => {
    completed++
  })
  return {
    async rate(jobs) {
      completed = 0
      const startMs = performance.now()
      for (let sent = 0; sent < jobs; sent += batch) {
        await queue.addBulk(
          Array.from({ length: batch }, () => ({ name: 'noop', data: null, opts: { removeOnComplete: true } })),
        )
      }
      await waitFor(() => completed >= jobs, `${jobs} jobs`, 120_000)
      return jobs / ((performance.now() - startMs) / 1_000)
    },
    async end() {
      await worker.close()
      await events.close()
      await queue.close()
      redis.kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
