import { describe, expect, test } from 'vitest'
import { defaultToolLoop, type ToolLoopSpec } from '../src/model/detect.ts'
import { replayRun } from '../src/offline/replay.ts'
import { legitimate, loops, type Pattern } from './fixtures/loops.ts'

function specOf({ polling = [] }: Pattern): ToolLoopSpec {
  const tools = Object.fromEntries(polling.map((name) => [name, { polling: true, thresholds: {} }]))
  return { ...defaultToolLoop, tools }
}

/** Model calls within which a loop must have been acted on (faults.md, section 4, rows 15 to 17), from its first call. */
const within: Readonly<Record<string, number>> = {
  'identical call, identical result': 6,
  'identical call, identical error': 5,
  'two calls in turn': 24,
  'a cycle of three': 24,
  'a cycle of seven': 24,
  // Every other call of it is new: twelve stall points come to 24 calls.
  'a loop with a harmless filler call': 26,
}
const otherwise = 20

describe('twelve loops, all caught', () => {
  test('there are twelve', () => expect(loops).toHaveLength(12))

  test.each(loops)('$name', (loop) => {
    const { act, nudge } = replayRun(loop.facts, specOf(loop))
    // Three facts of the beginning hold two model calls.
    expect(act?.modelCall).toBeLessThanOrEqual(2 + (within[loop.name] ?? otherwise))
    expect(nudge?.step).toBeLessThanOrEqual(act?.step ?? -1)
    expect(act?.evidence[0]).toMatch(/\d/)
  })
})

describe('nine legitimate patterns, none acted on', () => {
  test('there are nine', () => expect(legitimate).toHaveLength(9))

  test.each(legitimate)('$name', (pattern) => {
    expect(replayRun(pattern.facts, specOf(pattern)).act).toBeNull()
  })
})
