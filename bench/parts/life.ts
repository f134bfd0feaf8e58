import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { agentFile } from '../support.ts'
import type { Facts } from './calm.ts'

/** What `agents/effects.ts` posts in each step. */
export interface Effect {
  readonly task: string
  readonly key: string
  readonly fence: number
  readonly supervisor: number
}

/** One life of a supervisor in a process of its own: `agents/crash-node.ts`, with two replicas that post effects to `url`. */
export class Life {
  private readonly child: ChildProcess
  readonly started: Promise<void>
  private onStatus: (statuses: readonly string[]) => void = () => undefined
  private onFacts: (facts: Facts) => void = () => undefined

  constructor(folder: string, url: string, ids: string[]) {
    const script = new URL('../agents/crash-node.ts', import.meta.url).pathname
    const argv = ['--conditions=prunella-source', script, folder, agentFile('effects'), url]
    this.child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
    // A submit that is written while the process dies is not acknowledged: that is the point.
    this.child.stdin?.on('error', () => undefined)
    let rest = ''
    this.started = new Promise((resolve) => {
      this.child.stdout?.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk.toString()).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          if (line === 'started') resolve()
          if (line.startsWith('ids ')) ids.push(...(JSON.parse(line.slice(4)) as string[]))
          if (line.startsWith('status ')) this.onStatus(JSON.parse(line.slice(7)) as string[])
          if (line.startsWith('facts ')) this.onFacts(JSON.parse(line.slice(6)) as Facts)
        }
      })
    })
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  send(request: object): void {
    this.child.stdin?.write(`${JSON.stringify(request)}\n`)
  }

  status(ids: readonly string[]): Promise<readonly string[]> {
    return new Promise((resolve) => {
      this.onStatus = resolve
      this.send({ status: ids })
    })
  }

  facts(): Promise<Facts> {
    return new Promise((resolve) => {
      this.onFacts = resolve
      this.send({ facts: true })
    })
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.child.kill(signal)
  }

  kill(): Promise<void> {
    return new Promise((resolve) => {
      this.child.once('exit', () => resolve())
      this.child.kill('SIGKILL')
    })
  }
}

/** A sink process' worth of HTTP: every effect that is posted to `url` is handed to `take`. */
export function listen(
  take: (effect: Effect) => void,
): Promise<{ readonly url: string; readonly close: () => Promise<void> }> {
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on('end', () => {
      take(JSON.parse(body) as Effect)
      response.end('{}')
    })
  })
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () =>
      resolve({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, close }),
    )
  })
}
