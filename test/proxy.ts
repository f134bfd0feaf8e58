import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** Stands before a Postgres server, and can take the connections of one client away. */
export class DatabaseProxy {
  readonly #server: Server
  readonly #clients = new Map<Socket, string>()
  #cut: string | null = null

  constructor(targetPort: number) {
    this.#server = createServer((client) => {
      client.on('error', () => client.destroy())
      client.once('data', (first: Buffer) => this.#join(client, first, targetPort))
    })
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return (this.#server.address() as AddressInfo).port
  }

  /** Who says this `application_name` loses its connections, and every new one as soon as it has said so. */
  cut(name: string): void {
    this.#cut = name
    for (const [client, its] of this.#clients) if (its === name) client.destroy()
  }

  async close(): Promise<void> {
    for (const client of this.#clients.keys()) client.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #join(client: Socket, first: Buffer, targetPort: number): void {
    const name = /application_name\0([^\0]*)\0/.exec(first.toString('latin1'))?.[1] ?? ''
    if (name === this.#cut) {
      client.destroy()
      return
    }
    this.#clients.set(client, name)
    const server = connect({ host: '127.0.0.1', port: targetPort })
    server.on('error', () => server.destroy())
    server.write(first)
    client.pipe(server).pipe(client)
    client.on('close', () => {
      this.#clients.delete(client)
      server.destroy()
    })
    server.on('close', () => client.destroy())
  }
}
