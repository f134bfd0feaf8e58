import type { IncomingMessage } from 'node:http'

export type Body =
  | { readonly kind: 'whole'; readonly bytes: Buffer }
  | { readonly kind: 'too_large' }
  /** The other end left, or its connection broke, in the middle. */
  | { readonly kind: 'cut'; readonly reason: string }

/** The whole of a message, at most `most` bytes of it. Never rejects. */
export function readWhole(message: IncomingMessage, most: number): Promise<Body> {
  const { promise, resolve } = Promise.withResolvers<Body>()
  const chunks: Buffer[] = []
  let length = 0
  message.on('data', (chunk: Buffer) => {
    length += chunk.length
    if (length <= most) chunks.push(chunk)
    else resolve({ kind: 'too_large' })
  })
  message.on('end', () =>
    resolve({
      kind: 'whole',
      bytes: chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks),
    }),
  )
  message.on('error', (error: NodeJS.ErrnoException) => resolve({ kind: 'cut', reason: error.code ?? error.message }))
  // After an end this changes nothing.
  message.on('close', () => resolve({ kind: 'cut', reason: 'the connection was closed' }))
  return promise
}
