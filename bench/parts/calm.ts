import { existsSync } from 'node:fs'
import type { NodeDoor } from '../../src/port/node.ts'
import { type Row, row } from '../support.ts'

/** What can be seen of a pool that a healer has hurt, or left alone. */
export interface Facts {
  readonly replicas: readonly {
    readonly name: string
    readonly pid: number | null
    readonly incarnation: number
    readonly strikes: number
  }[]
  readonly incidents: readonly string[]
}

export async function factsOf(door: NodeDoor): Promise<Facts> {
  const incidents = (await door.incidents({ limit: 100 })).rows
  return {
    replicas: door.replicas().map(({ name, pid, incarnation, strikes }) => ({ name, pid, incarnation, strikes })),
    incidents: incidents.map(({ replica, fault }) => `${replica}: ${fault.kind}, ${fault.evidence.join('; ')}`),
  }
}

export interface Harm {
  /** Processes that lived before and do not now. */
  readonly killed: number
  readonly restarted: number
  /** Incidents and strikes: somebody was accused, whatever was done about it. */
  readonly accused: number
}

/** Everybody in `before` was well and did nothing wrong, so whatever happened to them until `after` is harm. */
export function harmBetween(before: Facts, after: Facts): Harm {
  const now = new Map(after.replicas.map((replica) => [replica.name, replica]))
  const fresh = after.incidents.slice(0, after.incidents.length - before.incidents.length)
  for (const text of fresh) console.error(`incident: ${text}`)
  return {
    killed: before.replicas.filter(({ pid }) => pid === null || !existsSync(`/proc/${pid}`)).length,
    restarted: before.replicas.filter(({ name, incarnation }) => now.get(name)?.incarnation !== incarnation).length,
    accused: fresh.length + after.replicas.reduce((sum, { strikes }) => sum + strikes, 0),
  }
}

/** One row for a part: its value is the sum, its bar spells out the three. */
export function harmRow(what: string, harms: readonly Harm[]): Row {
  const sum = (of: (harm: Harm) => number): number => harms.reduce((total, harm) => total + of(harm), 0)
  const [killed, restarted, accused] = [sum((h) => h.killed), sum((h) => h.restarted), sum((h) => h.accused)]
  return row(
    `${what}: wrongs done`,
    harms.map((harm) => harm.killed + harm.restarted + harm.accused),
    '',
    {
      text: `0 killed (${killed}), 0 restarted (${restarted}), 0 accused (${accused})`,
      met: killed + restarted + accused === 0,
    },
  )
}
