import { describe, expect, test } from 'vitest'
import { dependencySpec, openCall, poolRow, poolSpec, runningAttempt } from '../../test/fixtures/specs.ts'
import { answeredWhileOpen, newDependency, opened } from './breaker.ts'
import { canTake, holdingDependency, thawLimit, triedDependency, waitsFor } from './hold.ts'

const up = newDependency(dependencySpec({ name: 'up' }), 0)
const down = opened(newDependency(dependencySpec({ name: 'down', critical: true }), 0), 'refused', 0)
const spare = opened(newDependency(dependencySpec({ name: 'spare', critical: false }), 0), 'refused', 0)
const provider = opened(
  newDependency(dependencySpec({ name: 'llm', role: 'model_provider', critical: false }), 0),
  '',
  0,
)
const all = new Map([up, down, spare, provider].map((row) => [row.spec.name, row]))

test.each([
  { name: 'nothing it depends on is down', dependsOn: ['up'], holds: null },
  { name: 'a critical one is', dependsOn: ['up', 'down'], holds: 'down' },
  { name: 'one that is not critical only degrades', dependsOn: ['spare'], holds: null },
  { name: 'a model provider always holds', dependsOn: ['llm'], holds: 'llm' },
  { name: 'an unknown name holds nobody', dependsOn: ['nobody'], holds: null },
])('held: $name', ({ dependsOn, holds }) => {
  expect(holdingDependency(poolSpec({ dependsOn }), all)?.spec.name ?? null).toBe(holds)
})

const tried = answeredWhileOpen(
  opened(newDependency(dependencySpec({ name: 'tried' }), 0), 'refused', 0),
  true,
  1,
  true,
)
const some = new Map([...all, [tried.spec.name, tried]])

test.each([
  { name: 'its check passes and never failed', dependsOn: ['up', 'tried', 'spare'], is: 'tried' },
  { name: 'its check was not asked since', dependsOn: ['down'], is: null },
  { name: 'another one holds the pool as well', dependsOn: ['tried', 'down'], is: null },
  { name: 'nothing holds the pool', dependsOn: ['up', 'spare'], is: null },
])('tried: $name', ({ dependsOn, is }) => {
  expect(triedDependency(poolSpec({ dependsOn }), some)?.spec.name ?? null).toBe(is)
})

test.each([
  { name: 'tasks wait', depth: { queued: 1 }, inHand: 0, hold: null, can: true },
  { name: 'one is tried again later', depth: { scheduled: 1 }, inHand: 0, hold: null, can: true },
  { name: 'one is under way', depth: {}, inHand: 1, hold: null, can: true },
  { name: 'there is none but for a person', depth: { held: 1 }, inHand: 0, hold: null, can: false },
  { name: 'a person holds it', depth: { queued: 1 }, inHand: 1, hold: 'operator', can: false },
] as const)('a pool can try what holds it: $name', ({ depth, inHand, hold, can }) => {
  const row = poolRow({ hold: hold && { cause: hold, sinceMs: 0, reason: '', incidentId: null } })
  expect(canTake({ ...row, depth: { ...row.depth, ...depth } }, inHand)).toBe(can)
})

test.each([
  { name: 'its open call names what is down', calls: [openCall({ dependency: 'down' })], dependsOn: [], waits: 'down' },
  { name: 'its open call names what is up', calls: [openCall({ dependency: 'up' })], dependsOn: ['down'], waits: null },
  { name: 'its call names nothing: what its pool needs', calls: [openCall()], dependsOn: ['down'], waits: 'down' },
  { name: 'no call at all', calls: [], dependsOn: ['spare'], waits: 'spare' },
  { name: 'what its task needs', calls: [], dependsOn: [], needs: ['down'], waits: 'down' },
  { name: 'nothing is needed', calls: [], dependsOn: [], waits: null },
])('waits: $name', ({ calls, dependsOn, needs = [], waits }) => {
  expect(waitsFor(runningAttempt('t', { calls, needs }), poolSpec({ dependsOn }), all)?.spec.name ?? null).toBe(waits)
})

describe('the ramp', () => {
  const thawing = poolRow({ thaw: { sinceMs: 0, rampMs: 6_000 } })
  test('nothing held it: no limit', () => expect(thawLimit(poolRow(), 10, 0)).toBeNull())
  test('begins within half a second with a tenth, never with none', () => {
    expect(thawLimit(thawing, 20, 500)).toBeGreaterThanOrEqual(2)
    expect(thawLimit(thawing, 20, 500)).toBeLessThanOrEqual(3)
    expect(thawLimit(thawing, 3, 500)).toBe(1)
  })
  test('only grows, and ends', () => {
    const limits = Array.from({ length: 14 }, (_, at) => thawLimit(thawing, 20, at * 500) ?? 20)
    expect(limits).toEqual(limits.toSorted((a, b) => a - b))
    expect(thawLimit(thawing, 20, 6_500)).toBeNull()
  })
})
