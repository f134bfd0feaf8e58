// The floor of `bench/start.ts`: a bare Node process that opens the channel as a replica does, and says one line.
import { Socket } from 'node:net'

const channel = new Socket({ fd: 3 })
channel.write('ready\n')
// Lives as long as its channel, as a replica does.
channel.resume()
channel.on('error', () => undefined)
channel.on('close', () => process.exit(0))
