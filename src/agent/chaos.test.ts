import { expect, test } from 'vitest'
import { chaosFaults, chaosTable } from '../model/chaos.ts'
import { deeds, Misbehaviour } from './chaos.ts'

test('every fault of an agent has its deed, and no other', () => {
  const ofAgents = chaosFaults.filter((fault) => chaosTable[fault].place === 'agent')
  expect([...deeds.keys()].toSorted()).toEqual(ofAgents.toSorted())
})

test('an order is for one attempt, once', () => {
  const chaos = new Misbehaviour()
  const order = { type: 'misbehave', leaseMs: 1, fault: 'reject', forMs: 0, memoryBytes: 0 } as const
  chaos.order({ ...order, task: 't', fence: 2 })
  expect(chaos.take('t 1')).toBeUndefined()
  expect(chaos.take('t 2')).toBeTypeOf('function')
  expect(chaos.take('t 2')).toBeUndefined()
  chaos.order({ ...order, task: 't', fence: 3, fault: 'of a newer supervisor' })
  expect(chaos.take('t 3')).toBeUndefined()
})

test('an outage refuses calls that use that dependency, and no others', () => {
  const chaos = new Misbehaviour()
  chaos.outage('search', 60_000)
  chaos.outage('over', 0)
  expect(() => chaos.refuse('search')).toThrow(expect.objectContaining({ dependency: 'search' }))
  for (const other of [undefined, 'database', 'over']) expect(() => chaos.refuse(other)).not.toThrow()
})
