import type { ServerResponse } from 'node:http'
import { PrunellaError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { StreamEvent } from '../port/node.ts'
import { safeHeaders } from './problem.ts'
import { renderNotice } from './render.ts'
import type { Call, Context } from './route.ts'

/** Well below the minute after which proxies close what is silent. */
const heartbeatMs = 15_000

/** Server-sent events for everybody who listens. Each event is put into words once, however many listen. */
export function createEventStream(): (
  context: Context,
  call: Call<unknown, unknown>,
  response: ServerResponse,
) => void {
  let listeners = 0
  let last: { readonly id: string; readonly text: string } = { id: '', text: '' }
  const render = (event: StreamEvent): string => {
    if (last.id !== event.id) {
      const data = JSON.stringify(renderNotice(event.notice))
      last = { id: event.id, text: `id: ${event.id}\nevent: ${event.notice.kind}\ndata: ${data}\n\n` }
    }
    return last.text
  }

  return ({ door, clock }, { lastEventId, signal }, response) => {
    if (listeners >= limits.eventListeners) {
      throw new PrunellaError(
        'PRUNELLA_TOO_MANY',
        `There are ${limits.eventListeners} listeners already. Close one, or try again later.`,
      )
    }
    listeners++
    const over = new AbortController()
    const close = () => over.abort()
    response.on('error', close)
    signal.addEventListener('abort', close, { once: true })
    const send = (text: string) => {
      if (over.signal.aborted) return
      response.write(text)
      // Who does not read is let go, and resumes where it was: memory here is everybody's.
      if (response.writableLength > limits.eventBacklogBytes) close()
    }
    response.writeHead(200, { ...safeHeaders, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' })
    send('retry: 1000\n\n')
    const { missed, stop } = door.subscribe(lastEventId, (event) => send(render(event)))
    // Too old a place to resume from: the reader fetches the state anew.
    if (missed) send('event: missed\ndata: {}\n\n')
    over.signal.addEventListener('abort', () => end(response), { once: true })
    if (over.signal.aborted) end(response)

    function end(stream: ServerResponse): void {
      listeners--
      stop()
      stream.socket?.setTimeout(heartbeatMs) // What does not even take the rest is cut.
      stream.end()
    }

    const beat = async () => {
      while (!over.signal.aborted) {
        await clock.sleepUntil(clock.nowMs() + heartbeatMs, over.signal)
        send(': alive\n\n')
      }
    }
    beat().catch(close)
  }
}
