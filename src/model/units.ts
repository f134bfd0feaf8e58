/** `'250ms'`, `'15s'`, `'5m'`, `'1h'`, `'2d'`, or milliseconds. */
export type Duration = string | number
/** Bytes, or a Kubernetes quantity: `'512Mi'`, `'1G'`, `'1.5Gi'`. */
export type Size = string | number

const durationUnitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const sizeUnits: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
}
/** Longer than a year is a slip of the unit, and beyond 2^31 ms timers fire at once. */
const longestMs = 366 * 86_400_000

/** Milliseconds, rounded; null when `value` is not a duration from 0 to a year. */
export function parseDuration(value: unknown): number | null {
  const ms = typeof value === 'string' ? scaled(value, /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/, durationUnitsMs) : value
  return typeof ms === 'number' && ms >= 0 && ms <= longestMs ? Math.round(ms) : null
}

/** Bytes, rounded; null when `value` is not a size. */
export function parseSize(value: unknown): number | null {
  const bytes = typeof value === 'string' ? scaled(value, /^(\d+(?:\.\d+)?)([kMGT]|[KMGT]i)?$/, sizeUnits) : value
  return typeof bytes === 'number' && bytes >= 0 && bytes <= Number.MAX_SAFE_INTEGER ? Math.round(bytes) : null
}

function scaled(text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number | null {
  const match = pattern.exec(text.trim())
  const unit = units[match?.[2] ?? '']
  return match === null || unit === undefined ? null : Number(match[1]) * unit
}

/** `90_000` as `'90s'`: how a refusal names a duration. */
export function showDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = durationUnitsMs[unit] ?? 1
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`
  }
  return `${ms}ms`
}
