/**
 * When something that comes every `periodMs` and was asked for at `atMs` is due:
 * at most a fifth of the period earlier, on a grid that all replicas share. So
 * one turn of the loop serves many of them, and yet not all at once.
 */
export function onGrid(atMs: number, periodMs: number): number {
  const gridMs = periodMs / 5
  return Math.floor(atMs / gridMs) * gridMs
}
