import { connect } from 'node:net'
import type { CheckResult, DependencyCheck } from '../../model/probe.ts'

/** "Do you speak TLS?": the one question a Postgres server answers before anybody has logged in. */
const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
const answers = new Set(['S', 'N'])

/**
 * Whether a Postgres server answers there. Without a driver it goes no further:
 * a wrong password or a full connection limit is not seen. A listening port
 * alone is not enough: a server that hangs accepts connections, too.
 */
export function checkPostgres(
  { url }: Extract<DependencyCheck, { readonly kind: 'postgres' }>,
  signal: AbortSignal,
): Promise<CheckResult> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, '') || 'localhost', port: Number(port || 5432) })
    const give = () => socket.destroy()
    signal.addEventListener('abort', give, { once: true })
    socket.on('connect', () => socket.write(sslRequest))
    socket.on('data', (answer: Buffer) => {
      resolve(
        answers.has(answer.toString('latin1', 0, 1))
          ? { ok: true }
          : { ok: false, reason: 'what answers there is not Postgres' },
      )
      give()
    })
    socket.on('error', reject)
    socket.on('close', () => {
      signal.removeEventListener('abort', give)
      resolve({ ok: false, reason: 'the server hung up without an answer' })
    })
  })
}
