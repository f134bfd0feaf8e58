import { isSecretName } from '../../model/redact.ts'

/**
 * What a replica gets of the supervisor's environment. Everything else stays
 * here: it may hold keys. Proxy settings are not on the list because their
 * addresses may carry a password; `environment.pass` adds them by name.
 * `NODE_OPTIONS` is not either: it would reach into how we start agents.
 */
const allowed = new Set(['PATH', 'LANG', 'LANGUAGE', 'TZ', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR'])

export interface EnvironmentRequest {
  /** The pool's own words: names passed on, and values set outright. */
  readonly pass: readonly string[]
  readonly set: Readonly<Record<string, string>>
  readonly pool: string
  /** Names this process for ever; what carries it is swept away when the replica has ended. */
  readonly marker: string
  readonly root: string
  readonly homeFolder: string
  readonly temporaryFolder: string
  /** Folder of stripped TypeScript, or null. */
  readonly strippedFolder: string | null
  /** Folder of compiled JavaScript, or null; the pool's own words go before it. */
  readonly compiledFolder: string | null
}

type Variables = Readonly<Record<string, string | undefined>>

export function buildEnvironment(request: EnvironmentRequest, own: Variables = process.env): Record<string, string> {
  const environment: Record<string, string> = {}
  for (const [name, value] of Object.entries(own)) {
    const passed = allowed.has(name) || name.startsWith('LC_') || request.pass.includes(name)
    if (passed && value !== undefined) environment[name] = value
  }
  return {
    ...(request.compiledFolder === null ? {} : { NODE_COMPILE_CACHE: request.compiledFolder }),
    ...environment,
    HOME: request.homeFolder,
    TMPDIR: request.temporaryFolder,
    ...request.set,
    PRUNELLA_POOL: request.pool,
    PRUNELLA_PROCESS: request.marker,
    PRUNELLA_ROOT: request.root,
    ...(request.strippedFolder === null ? {} : { PRUNELLA_STRIPPED: request.strippedFolder }),
  }
}

/** Values given to replicas that must not appear in captured output: those whose names say so. */
export function secretValues(pass: readonly string[], set: Variables, own: Variables = process.env): readonly string[] {
  const given = [...pass.map((name) => [name, own[name]] as const), ...Object.entries(set)]
  return given.flatMap(([name, value]) => (value !== undefined && isSecretName(name) ? [value] : []))
}

/** Where commands are looked for. */
export function commandFolders(own: Variables = process.env): readonly string[] {
  return (own.PATH ?? '/usr/local/bin:/usr/bin:/bin').split(':').filter((folder) => folder !== '')
}
