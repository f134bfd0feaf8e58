/** The store's thread: `node:sqlite` is synchronous, and a slow disk must not freeze pulses, gateway and health. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert } from '../../../model/assert.ts'
import type { Opened, Request, WorkerOptions } from './calls.ts'
import { Engine, failureOf } from './engine.ts'

/** Messages that one transaction takes: beyond it, latency grows and the sync is shared by enough. */
const messagesPerTransaction = 256

const port = parentPort
assert(port !== null, 'the store runs in a worker thread')

function open(path: string): Engine | null {
  let outcome: Opened = { opened: true }
  let engine: Engine | null = null
  try {
    engine = new Engine(path)
  } catch (error) {
    outcome = { opened: false, failure: failureOf(error) }
  }
  port?.postMessage(outcome)
  return engine
}

const engine = open((workerData as WorkerOptions).path)

// Group commit without a timer: whatever came during one transaction's sync is the next transaction.
port.on('message', (first: string | null) => {
  let message: string | null = first
  const texts: string[] = []
  while (message !== null) {
    texts.push(message)
    const next: { message: string | null } | undefined =
      texts.length < messagesPerTransaction ? receiveMessageOnPort(port) : undefined
    if (next === undefined) break
    message = next.message
  }
  if (texts.length > 0 && engine !== null) {
    const replies = engine.run(texts.flatMap((text) => JSON.parse(text) as Request[]))
    port.postMessage(`[${replies.join()}]`)
  }
  if (message === null) {
    engine?.close()
    port.close()
  }
})
if (engine === null) port.close()
