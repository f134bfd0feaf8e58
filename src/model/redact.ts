/** Takes secrets out of a text before it is written anywhere. */
export type Redact = (text: string) => string

const mark = '[redacted]'
/** Shorter values are too likely to be ordinary words: taking out every `true` would hide more than it protects. */
const secretLengthMin = 6

/** Shapes that are secrets wherever they stand. Each is linear: no nested repeats. */
const patterns: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, mark],
  // user:password@ in any address.
  [/\b([a-z][a-z0-9+.-]{1,30}:\/\/)[^\s/:@]{0,256}:[^\s/@]{1,1024}@/gi, `$1${mark}@`],
  [/\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*/g, mark],
  [/\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}/g, mark],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, mark],
  [/\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}/g, mark],
  [/\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g, mark],
  [/\bAIza[A-Za-z0-9_-]{30,}/g, mark],
  [/\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, `$1 ${mark}`],
  // key=value and "key": "value", in query strings, headers and JSON.
  [
    /\b([a-z0-9_-]{0,40}(?:api[_-]?key|access[_-]?key|token|secret|passwd|password|authorization))(["']?\s{0,4}[=:]\s{0,4}["']?)(?!\[redacted\])(?!(?:bearer|basic)\b)[^\s"'&,;}]{6,}/gi,
    `$1$2${mark}`,
  ],
]

/** A name of an environment variable or a field whose value must not be shown. */
export function isSecretName(name: string): boolean {
  return /key|token|secret|passw|credential|authorization|cookie|dsn|database_url/i.test(name)
}

/** @param secrets  Literal values; also found where they stand percent-encoded in an address. */
export function createRedact(secrets: readonly string[]): Redact {
  const values = [...new Set(secrets.flatMap((secret) => [secret, encodeURIComponent(secret)]))]
    .filter((value) => value.length >= secretLengthMin)
    .sort((a, b) => b.length - a.length) // A secret that contains another one goes first.
  const literal = values.length === 0 ? null : new RegExp(values.map(escapePattern).join('|'), 'g')
  return (text) => {
    let clean = literal === null ? text : text.replace(literal, mark)
    for (const [pattern, replacement] of patterns) clean = clean.replace(pattern, replacement)
    return clean
  }
}

/** For a single text; who redacts many keeps what `createRedact` returns. */
export function redact(text: string, secrets: readonly string[] = []): string {
  return createRedact(secrets)(text)
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

/**
 * Makes a text inert for terminals: escape sequences (colours, titles, clipboard),
 * control characters and marks that reverse the reading direction are removed; tabs stay.
 */
export function stripControls(text: string): string {
  return text.replace(escapes, '').replace(controls, '')
}

// Written without control characters, so that this file is inert itself.
const esc = String.fromCharCode(0x1b)
const c1 = (code: number) => String.fromCharCode(code)
const end = `${c1(0x07)}|${esc}\\\\|${c1(0x9c)}`
// Strings (clipboard, title) end at BEL or ST; sequences (colours, cursor) at a letter; then any single escape.
const escapes = new RegExp(
  [
    `(?:${esc}[\\]PX^_]|[${[0x90, 0x98, 0x9d, 0x9e, 0x9f].map(c1).join('')}])[^${esc}${c1(0x07)}${c1(0x9c)}]*(?:${end})?`,
    `(?:${esc}\\[|${c1(0x9b)})[0-?]*[ -/]*[@-~]?`,
    `${esc}[ -/]*[0-~]?`,
  ].join('|'),
  'g',
)
const controls = /[^\P{Cc}\t]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu
