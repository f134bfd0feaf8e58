import { isSecretName } from '../model/redact.ts'
import { showPath } from './issue.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Deeper is not a configuration but a cycle. */
const deepest = 20
/** Shorter values are words and ports: removing each `true` from every log line hides nothing and ruins the log. */
const shortestSecret = 6

/**
 * Stands for the value of an environment variable; it may be a part of a longer
 * string. JSON and YAML write it out: `${env:NAME}`. The value is read when the
 * configuration is resolved, and is never written to a log.
 */
export function env(name: string): string {
  return `\${env:${name}}`
}

/** `raw` with every reference replaced, the values found, and a line for each variable that is not set. */
export function substitute(
  raw: unknown,
  environment: Environment,
): {
  readonly value: unknown
  readonly secrets: readonly string[]
  readonly problems: readonly string[]
} {
  const secrets = new Set<string>()
  const problems: string[] = []
  const walk = (value: unknown, path: readonly PropertyKey[]): unknown => {
    if (path.length > deepest || value === null) return value
    if (typeof value === 'string') {
      return value.replace(/\$\{env:([^}]*)\}/g, (_, name: string) => {
        const found = environment[name]
        if (found === undefined || found === '') {
          problems.push(`${showPath(path)} needs the environment variable ${name}, which is not set`)
          return 'unset'
        }
        if (found.length >= shortestSecret) secrets.add(found)
        return found
      })
    }
    if (Array.isArray(value)) return value.map((item, index) => walk(item, [...path, index]))
    if (typeof value !== 'object') return value
    // fromEntries defines properties, so that a key named __proto__ stays a key.
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, walk(item, [...path, key])]))
  }
  const value = walk(raw, [])
  return { value, secrets: [...secrets], problems }
}

/** Passed on to agents without being a secret. */
const harmless = /^(PATH|HOME|USER|LOGNAME|SHELL|PWD|LANG|LC_.*|TZ|TERM|TMPDIR|NODE_ENV|HOSTNAME|NO_PROXY|no_proxy)$/

/** The values among `variables` that must not be written anywhere. */
export function secretsAmong(variables: Environment, which: 'passed' | 'literal'): readonly string[] {
  return Object.entries(variables).flatMap(([name, value]) => {
    const secret = which === 'passed' ? !harmless.test(name) : isSecretName(name)
    return secret && value !== undefined && value.length >= shortestSecret ? [value] : []
  })
}

/** The password inside an address, or nothing. */
export function passwordIn(address: string): readonly string[] {
  const password = URL.parse(address)?.password ?? ''
  return password.length >= shortestSecret ? [password, decodeURIComponent(password)] : []
}
