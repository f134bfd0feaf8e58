import { stripControls } from '../model/redact.ts'

/** JSON on one line, harmless on a terminal: what JSON leaves as it is, and terminals obey, is escaped. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Foreign text as one line. */
export function plain(text: string): string {
  return stripControls(text.replace(/\s+/g, ' '))
}

/** `90_500` as `1m 30s`: two units at most. */
export function span(ms: number | null): string {
  if (ms === null) return '-'
  if (ms < 1_000) return `${Math.round(ms)}ms`
  const seconds = Math.floor(ms / 1_000)
  if (seconds < 60) return ms < 10_000 ? `${(ms / 1_000).toFixed(1)}s` : `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}m ${seconds % 60}s`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours}h ${minutes % 60}m` : `${Math.floor(hours / 24)}d ${hours % 24}h`
}

/** `2026-01-31T12:00:00.000Z` as `2026-01-31 12:00:00Z`. */
export function time(iso: string | null): string {
  return iso === null ? '-' : iso.replace('T', ' ').replace(/\.\d+Z$/, 'Z')
}

export function memory(bytes: number | null): string {
  return bytes === null ? '-' : `${Math.round(bytes / 2 ** 20)} MiB`
}

/** `3 tasks`, `1 task`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
