import { z } from 'zod'

/** How a refused value is shown: short, on one line. */
export function show(value: unknown): string {
  const text =
    value === undefined
      ? 'nothing'
      : typeof value === 'function'
        ? 'a function'
        : (JSON.stringify(value) ?? String(value))
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

/** `['pools', 'a.b', 0]` as `pools["a.b"][0]`. */
export function showPath(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) => {
      if (typeof part === 'number') return `[${part}]`
      const key = String(part)
      if (!/^[A-Za-z0-9_$-]+$/.test(key)) return `[${JSON.stringify(key)}]`
      return index === 0 ? key : `.${key}`
    })
    .join('')
}

/**
 * An object that refuses unknown keys, one line for each: what a later version
 * will understand is said to be that, anything else gets the nearest known key.
 */
export function object<Shape extends z.ZodRawShape>(shape: Shape, later: readonly string[] = []) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return undefined
      return (issue.keys as readonly string[]).map((key) => unknownKey(key, Object.keys(shape), later)).join('\n')
    },
  })
}

function unknownKey(key: string, known: readonly string[], later: readonly string[]): string {
  if (later.includes(key)) return 'is not supported by this version of Prunella yet, remove it'
  const near = nearest(key, known)
  return near === null
    ? `is an unknown key; known here: ${known.join(', ')}`
    : `is an unknown key, did you mean "${near}"?`
}

/** The known word at most a third of its letters away from `word`, or null. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null
  let bestDistance = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance && distance <= Math.max(1, Math.floor(candidate.length / 3))) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Levenshtein's distance; words longer than any key of ours are simply far. */
function editDistance(left: string, right: string): number {
  if (left.length > 64) return Number.POSITIVE_INFINITY
  let row = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 1; i <= left.length; i++) {
    const next = [i]
    for (let j = 1; j <= right.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1)
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[right.length] ?? 0
}

/** One line a problem: path, rule, value. */
export function describeIssues(error: z.ZodError): string[] {
  return error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      const rules = issue.message.split('\n')
      return issue.keys.map((key, index) => `${showPath([...issue.path, key])} ${rules[index]}`)
    }
    if (issue.code === 'invalid_key') {
      return [`${showPath(issue.path)} ${issue.issues[0]?.message ?? 'is not a valid name'}`]
    }
    const path = issue.path.length === 0 ? 'The configuration' : showPath(issue.path)
    return [`${path} ${ruleOf(issue)}, got ${show(issue.input)}`]
  })
}

function ruleOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${article(issue.expected)}`
    case 'invalid_value':
      return `must be one of ${issue.values.map(show).join(', ')}`
    case 'too_small':
      return `must be ${sizeWord(issue.origin)}${issue.inclusive === false ? 'above' : 'at least'} ${issue.minimum}`
    case 'too_big':
      return `must be ${sizeWord(issue.origin)}${issue.inclusive === false ? 'below' : 'at most'} ${issue.maximum}`
    default:
      return issue.message
  }
}

function sizeWord(origin: string): string {
  return origin === 'string' || origin === 'array' ? 'of length ' : ''
}

function article(expected: string): string {
  const words: Readonly<Record<string, string>> = {
    int: 'a whole number',
    record: 'an object',
    boolean: 'true or false',
  }
  return words[expected] ?? `${/^[aeiou]/.test(expected) ? 'an' : 'a'} ${expected}`
}
