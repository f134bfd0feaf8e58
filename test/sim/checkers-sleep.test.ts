import { expect, test } from 'vitest'
import { check } from './checked.ts'
import type { ProcessName, TraceEvent } from './trace.ts'

const first: ProcessName = { replica: 'pool/0', incarnation: 1 }
const wound: TraceEvent = { kind: 'wound', wound: 'loop', taskId: null, healed: false, ...first }
const healed: TraceEvent = { ...wound, healed: true }
const terminate: TraceEvent = { kind: 'effect', effect: { kind: 'terminate', graceMs: 0, ...first } }
const refused: TraceEvent = { kind: 'commit_failed', batch: { nowMs: 0, decisions: [], claims: [] } }
const supervisor = (what: 'paused' | 'woke' | 'born'): TraceEvent => ({ kind: 'supervisor', what })

test.each([
  { name: 'the store had refused it: it was on its way', before: [refused], during: [], wrong: false },
  { name: 'the store works: it is a new one', before: [], during: [], wrong: true },
  {
    name: 'another supervisor came meanwhile: what was refused is gone',
    ...{ before: [refused], during: [supervisor('born')], wrong: true },
  },
])('after half a minute of sleep the verdict about what had healed before it, and $name', (row) => {
  const { clock, trace } = check()
  for (const event of [wound, healed, ...row.before, supervisor('paused'), ...row.during]) trace.note(event)
  clock.advanceTo(30_001)
  for (const event of [supervisor('woke'), terminate]) trace.note(event)
  expect(trace.violations.some(({ rule }) => rule === 'slow_is_not_dead')).toBe(row.wrong)
})
