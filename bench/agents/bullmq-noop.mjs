/** The peer's no-op, in its sandboxed child process. */
export default async function noop() {
  return null
}
