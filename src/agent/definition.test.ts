import { expect, test } from 'vitest'
import { type AgentDefinition, defineAgent, isAgent } from './definition.ts'

const run = (): number => 1

test('an agent keeps its methods and is known as one; anything else is not', () => {
  const agent = defineAgent({ run, checks: { 'db.main': () => true } })
  expect(agent.run).toBe(run)
  expect(isAgent(agent)).toBe(true)
  for (const other of [{ run }, run, null, undefined, 'agent']) expect(isAgent(other)).toBe(false)
})

const checks = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`c${n}`, run]))

test.each([
  { name: 'no run', definition: {}, says: 'needs a function "run", got undefined' },
  { name: 'setup is no function', definition: { run, setup: 1 }, says: 'needs a function "setup", got number' },
  { name: 'an unknown key', definition: { run, onStop: run }, says: 'has no place for "onStop"' },
  { name: 'a check that is no function', definition: { run, checks: { db: true } }, says: 'a function for check "db"' },
  { name: 'a check with an illegal name', definition: { run, checks: { 'a b': run } }, says: 'a check named "a b"' },
  { name: 'too many checks', definition: { run, checks: checks(101) }, says: 'has 101 checks' },
])('$name is refused', ({ definition, says }) => {
  expect(() => defineAgent(definition as unknown as AgentDefinition)).toThrow(
    expect.objectContaining({ code: 'PRUNELLA_INVALID', message: expect.stringContaining(says) }),
  )
})

test('a hundred checks are allowed', () => {
  expect(isAgent(defineAgent({ run, checks: checks(100) }))).toBe(true)
})
