import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../client.ts'
import type { Incidents } from '../command.ts'
import { connect } from '../connect.ts'
import { ApiError, exits } from '../errors.ts'
import type { Io } from '../io.ts'
import { table, toned } from '../table.ts'
import type { WireIncident } from '../wire.ts'
import { plain, span, time, toJson } from '../words.ts'

/** How often in a row the stream may fail before we give up, and the pause in between. */
const triesMax = 30
const pauseMs = 1_000

export async function run(command: Incidents, io: Io): Promise<number> {
  const client = await connect(command, io)
  if (command.id !== undefined) {
    const incident = await client.get<WireIncident>(`/api/v1/incidents/${command.id}`)
    if (command.json) io.out(toJson(incident))
    else showIncident(incident, io)
    return exits.done
  }
  if (command.follow) return follow(command, client, io)
  const page = await client.get<{ readonly incidents: readonly WireIncident[]; readonly cursor: string | null }>(
    '/api/v1/incidents',
    { open: command.open || undefined, limit: command.limit },
  )
  if (command.json) io.out(toJson(page))
  else if (page.incidents.length === 0) io.out(command.open ? 'No open incidents.' : 'No incidents.')
  else {
    for (const line of table(titles, page.incidents.map(row), io.color)) io.out(line)
    if (page.cursor !== null) io.out(`There are more: --limit is ${command.limit}.`)
  }
  return exits.done
}

const titles = ['INCIDENT', 'DETECTED', 'WHERE', 'FAULT', 'CULPRIT', 'STATUS', 'RECOVERED IN']

function row(incident: WireIncident) {
  const { id, detectedAt, fault, status, recoveryMs } = incident
  return [id, time(detectedAt), placeOf(incident), fault.kind, fault.culprit, toned(status), span(recoveryMs)]
}

function placeOf({ replica, task, pool }: WireIncident): string {
  return replica ?? (task === null ? pool : `task ${task}`)
}

function showIncident(incident: WireIncident, io: Io): void {
  const { id, fault, status, detectionMs, recoveryMs } = incident
  io.out(plain(`${id}: ${placeOf(incident)} ${fault.kind}, culprit ${fault.culprit}, ${status}`))
  const recovered = recoveryMs === null ? 'not recovered yet' : `recovered ${span(recoveryMs)} later`
  io.out(`Noticed ${span(detectionMs)} after the first sign, ${recovered}.`)
  for (const line of fault.evidence) io.out(`Seen: ${plain(line)}`)
  io.out('')
  const rows = incident.timeline.map(({ at, kind, text }) => [time(at), kind, text])
  for (const line of table(['TIME', 'KIND', 'WHAT'], rows, io.color)) io.out(line)
}

interface IncidentNotice {
  readonly at: string
  readonly change: string
  readonly incident: WireIncident
}

/** Prints each change of an incident until it is stopped. A connection that ends is made again where it was. */
async function follow(command: Incidents, client: Client, io: Io): Promise<number> {
  const over = new AbortController()
  const release = io.onStop(() => over.abort())
  let lastId: string | null = null
  let tries = 0
  let isKnown = false
  try {
    while (!over.signal.aborted) {
      try {
        for await (const event of client.events(lastId, over.signal)) {
          isKnown = true
          tries = 0
          lastId = event.id || lastId
          if (event.kind === 'missed') io.err('Some events are gone; `prunella incidents` has them all.')
          if (event.kind === 'incident') show(event.data as IncidentNotice, command, io)
        }
      } catch (error) {
        if (over.signal.aborted) break
        tries++
        // A refusal will be the same again; a node that is away may come back.
        if (!(error instanceof ApiError) || error.code !== null || !isKnown || tries >= triesMax) throw error
        if (tries % 10 === 1) io.err(`${error.message}; trying again`)
      }
      await sleep(pauseMs, undefined, { signal: over.signal }).catch(() => undefined) // Stopped: the loop ends.
    }
  } finally {
    release()
  }
  return exits.done
}

function show(notice: IncidentNotice, command: Incidents, io: Io): void {
  const { at, change, incident } = notice
  if (command.open && incident.status === 'closed') return
  if (command.json) io.out(toJson(notice))
  else
    io.out(
      plain(`${time(at)} ${incident.id} ${change}: ${placeOf(incident)} ${incident.fault.kind} (${incident.status})`),
    )
}
