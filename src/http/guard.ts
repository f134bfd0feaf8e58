import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import type { Problem } from './problem.ts'

/**
 * Refuses what a browser was tricked into, on every method: a `Host` that is not
 * ours (a foreign name that resolves to us), an `Origin` that is another page.
 * An address as host is always ours: rebinding needs a name.
 */
export function createGuard(names: readonly string[]): (headers: IncomingHttpHeaders) => Problem | null {
  const own = new Set(['localhost', ...names.map((name) => name.toLowerCase())])
  return ({ host, origin }) => {
    const name = hostName(host)
    if (name === null || !(own.has(name) || isIP(name) !== 0)) {
      return {
        status: 403,
        code: 'PRUNELLA_FORBIDDEN',
        detail:
          'This host name is not served here. Use the address, or add the name to http.names in the configuration.',
      }
    }
    if (origin === undefined || origin === `http://${host}` || origin === `https://${host}`) return null
    return { status: 403, code: 'PRUNELLA_FORBIDDEN', detail: 'Requests from other pages are refused.' }
  }
}

/** The name in a `Host` header, without port and brackets; null when it is malformed or missing. */
function hostName(host: string | undefined): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(host ?? '')
  return (match?.[1] ?? match?.[2])?.toLowerCase() ?? null
}
