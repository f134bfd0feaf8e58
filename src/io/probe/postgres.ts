import { Socket } from 'node:net'
import type { CheckResult, DependencyCheck } from '../../model/probe.ts'

/** SQLSTATEs whose own message is longer than what a person needs, or says less. */
const words: Readonly<Record<string, string>> = {
  '28P01': 'the password is refused',
  '28000': 'this user is refused',
  '3D000': 'there is no such database',
  '53300': 'it has no connection to spare',
  '57P01': 'it is shutting down',
  '57P02': 'it has crashed',
  '57P03': 'it is starting up, shutting down or recovering',
}

/**
 * Logs in and asks `SELECT 1`; with `target_session_attrs=read-write` in the
 * URL, libpq's word for it, also whether it may be written to. The connection
 * is this check's own and gone when it ends, whatever the server does.
 */
export async function checkPostgres(
  { url }: Extract<DependencyCheck, { readonly kind: 'postgres' }>,
  signal: AbortSignal,
): Promise<CheckResult> {
  const { Client } = await import('pg') // Costs a supervisor without a database nothing.
  signal.throwIfAborted()
  const socket = new Socket()
  const client = new Client({ connectionString: url, stream: () => socket, application_name: 'prunella check' })
  const give = (): void => void socket.destroy()
  signal.addEventListener('abort', give, { once: true })
  client.on('error', give) // What a server says while nobody asks it; the question after it fails.
  try {
    await client.connect()
    const sql = isToBeWritten(url) ? "SELECT current_setting('transaction_read_only') AS read_only" : 'SELECT 1'
    const { rows } = await client.query<{ readonly read_only?: string }>(sql)
    return rows[0]?.read_only === 'on' ? { ok: false, reason: 'it is read-only' } : { ok: true }
  } catch (error) {
    return { ok: false, reason: reasonOf(error, client.password) }
  } finally {
    await client.end().catch(give)
    signal.removeEventListener('abort', give)
    give()
  }
}

function isToBeWritten(url: string): boolean {
  return new URL(url).searchParams.get('target_session_attrs') === 'read-write'
}

function reasonOf(error: unknown, password: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (error.message.includes('client password must be a string')) return 'it wants a password, and the URL has none'
  const ours = words[code]
  if (ours !== undefined) return `${code}: ${ours}`
  const text = code === '' || error.message.includes(code) ? error.message : `${code}: ${error.message}`
  return typeof password === 'string' && password !== '' ? text.replaceAll(password, '…') : text
}
