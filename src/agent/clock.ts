/** Monotonic, ms. `performance` would say the same; loading it takes each replica a millisecond. */
export function nowMs(): number {
  return process.uptime() * 1_000
}
