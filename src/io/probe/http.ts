import type { CheckResult, DependencyCheck } from '../../model/probe.ts'

/** Headers that carry a credential: with one of them, 401 and 403 mean that it is wrong. */
const credential = /authorization|api-?key|token|cookie/i

/**
 * GET. 2xx and 3xx are well. 401 and 403 are well when the check carries no
 * credential, since then it only asks whether somebody answers; with one, the
 * key is wrong and every call would fail. Redirects are not followed: the
 * address in the configuration is the one that is asked.
 */
export async function checkHttp(
  { url, headers }: Extract<DependencyCheck, { readonly kind: 'http' }>,
  signal: AbortSignal,
): Promise<CheckResult> {
  const response = await fetch(url, { headers, signal, redirect: 'manual' })
  await response.body?.cancel()
  const { status } = response
  const isRefused = status === 401 || status === 403
  const hasCredential = Object.keys(headers).some((name) => credential.test(name))
  if ((status >= 200 && status < 400) || (isRefused && !hasCredential)) return { ok: true }
  return { ok: false, reason: isRefused ? `HTTP ${status}: the credential is refused` : `HTTP ${status}` }
}
