import { connect } from 'node:net'
import type { CheckResult, DependencyCheck } from '../../model/probe.ts'

/** Connects and hangs up. */
export function checkTcp(
  { host, port }: Extract<DependencyCheck, { readonly kind: 'tcp' }>,
  signal: AbortSignal,
): Promise<CheckResult> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port })
    const give = () => socket.destroy()
    signal.addEventListener('abort', give, { once: true })
    socket.on('connect', () => resolve({ ok: true }))
    socket.on('error', reject)
    socket.on('close', () => signal.removeEventListener('abort', give))
    socket.on('connect', give)
  })
}
