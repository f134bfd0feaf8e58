import type { Agents, Status } from '../command.ts'
import { connect } from '../connect.ts'
import { exits } from '../errors.ts'
import type { Io } from '../io.ts'
import { table, toned } from '../table.ts'
import type { WireDependency, WireIncident, WireNode, WirePool, WireReplica } from '../wire.ts'
import { count, memory, plain, span, toJson } from '../words.ts'

export async function runStatus(command: Status, io: Io): Promise<number> {
  const client = await connect(command, io)
  const [{ pools }, { dependencies }, { incidents }, node] = await Promise.all([
    client.get<{ readonly pools: readonly WirePool[] }>('/api/v1/pools'),
    client.get<{ readonly dependencies: readonly WireDependency[] }>('/api/v1/dependencies'),
    client.get<{ readonly incidents: readonly WireIncident[] }>('/api/v1/incidents', { open: true, limit: 100 }),
    client.get<WireNode>('/api/v1/node'),
  ])
  if (command.json) {
    io.out(toJson({ node, pools, dependencies, incidents }))
    return exits.done
  }
  const poolRows = pools.map((pool) => [
    pool.name,
    toned(pool.status),
    `${pool.phases['ready'] ?? 0}/${pool.wanted}`,
    pool.phases['quarantined'] ?? 0,
    pool.active,
    pool.depth.queued + pool.depth.scheduled,
    pool.depth.held,
    pool.hold === null ? '-' : pool.hold.reason || 'yes',
  ])
  for (const line of table(poolTitles, poolRows, io.color)) io.out(line)
  if (dependencies.length > 0) {
    io.out('')
    for (const line of table(
      ['DEPENDENCY', 'STATE', 'ANSWERS IN', 'REASON'],
      dependencies.map(dependencyRow),
      io.color,
    ))
      io.out(line)
  }
  io.out('')
  io.out(
    incidents.length === 0
      ? 'No open incidents.'
      : `${count(incidents.length, 'open incident')}: see \`prunella incidents --open\`.`,
  )
  for (const spot of node.blindSpots) io.out(`Blind spot: ${plain(spot)}`)
  if (node.shuttingDown) io.out('The node is shutting down.')
  return exits.done
}

const poolTitles = ['POOL', 'STATUS', 'READY', 'QUARANTINED', 'RUNNING', 'QUEUED', 'HELD', 'ON HOLD']

function dependencyRow({ name, up, latencyMs, reason }: WireDependency) {
  const state = up === null ? 'unknown' : up ? 'up' : 'down'
  return [name, toned(state), span(latencyMs), reason ?? '-']
}

export async function runAgents(command: Agents, io: Io): Promise<number> {
  const client = await connect(command, io)
  const answer = await client.get<{ readonly replicas: readonly WireReplica[] }>('/api/v1/replicas', {
    pool: command.pool,
  })
  if (command.json) io.out(toJson(answer))
  else for (const line of table(replicaTitles, answer.replicas.map(replicaRow), io.color)) io.out(line)
  return exits.done
}

const replicaTitles = ['REPLICA', 'PHASE', 'INCARNATION', 'PID', 'PULSE', 'STRIKES', 'MEMORY', 'DOING']

function replicaRow(replica: WireReplica) {
  const [task, ...more] = replica.tasks
  const doing = task === undefined ? '-' : `${task.id} ${task.doing ?? ''} ${span(task.runningMs)}`.replace(/ +/g, ' ')
  return [
    replica.name,
    toned(replica.phase),
    replica.incarnation,
    replica.pid ?? '-',
    span(replica.pulseAgeMs),
    replica.strikes,
    memory(replica.memoryBytes),
    more.length === 0 ? doing : `${doing} and ${count(more.length, 'other')}`,
  ]
}
