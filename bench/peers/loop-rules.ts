import type { RunFact, ToolFact } from '../../src/model/run.ts'

/*
 * Loop rules of other projects at their defaults, written again from their
 * published description. Counters reset at a message of a person.
 */

export interface LoopRule {
  readonly name: string
  /** Makes a detector for one run: whether it fires at this fact. */
  readonly start: () => (fact: RunFact) => boolean
}

const sameCall = ({ name, argsHash }: ToolFact): string => `${name} ${argsHash}`
const samePair = (fact: ToolFact): string => `${sameCall(fact)} ${fact.resultHash}`

export const loopRules: readonly LoopRule[] = [
  { name: 'same call 3 times in a row', start: () => inARow(3, sameCall) },
  { name: 'same call 3 times in the last 10', start: () => inWindow(3, 10, sameCall) },
  { name: 'same call and same result 3 times in the last 10', start: () => inWindow(3, 10, samePair) },
  { name: "OpenHands' stuck detector, all scenarios", start: openHands },
  { name: 'Gemini CLI: 5 identical calls', start: () => inARow(5, sameCall) },
  { name: "LangGraph's recursion limit 25", start: langGraph },
  { name: 'at most 50 LLM calls', start: () => modelCalls(50) },
]

function isPerson(fact: RunFact): boolean {
  return fact.kind === 'user' && !fact.auto
}

function inARow(times: number, keyOf: (fact: ToolFact) => string): (fact: RunFact) => boolean {
  let last = ''
  let count = 0
  return (fact) => {
    if (isPerson(fact)) count = 0
    if (fact.kind !== 'tool') return false
    const key = keyOf(fact)
    count = count > 0 && key === last ? count + 1 : 1
    last = key
    return count >= times
  }
}

function inWindow(times: number, length: number, keyOf: (fact: ToolFact) => string): (fact: RunFact) => boolean {
  let recent: readonly string[] = []
  return (fact) => {
    if (isPerson(fact)) recent = []
    if (fact.kind !== 'tool') return false
    const key = keyOf(fact)
    recent = [...recent, key].slice(-length)
    return recent.filter((each) => each === key).length >= times
  }
}

/**
 * The last 20 events since the last message of a user: 4 identical actions with
 * identical observations; 4 times the same action failing; 3 messages of the
 * agent in a row; 6 actions and observations that alternate.
 */
function openHands(): (fact: RunFact) => boolean {
  const historyLength = 20
  let calls: readonly ToolFact[] = []
  let messages = 0
  return (fact) => {
    if (fact.kind === 'user') {
      messages = 0 // Not in a row any more, whoever answered.
      if (!fact.auto) calls = []
      return false
    }
    if (fact.kind === 'model') {
      messages = fact.toolCalls === 0 ? messages + 1 : 0
      return messages >= 3
    }
    messages = 0
    // An action and its observation are two events.
    calls = [...calls, fact].slice(-historyLength / 2)
    const last4 = calls.slice(-4)
    const last6 = calls.slice(-6)
    const isSame = last4.length === 4 && last4.every((each) => samePair(each) === samePair(fact))
    const isFailing = last4.length === 4 && last4.every((each) => each.isError && sameCall(each) === sameCall(fact))
    const isAlternating =
      last6.length === 6 &&
      last6.every((each, at) => at < 2 || samePair(each) === samePair(last6[at - 2]!)) &&
      samePair(last6[0]!) !== samePair(last6[1]!)
    return isSame || isFailing || isAlternating
  }
}

/** A model call is one superstep, the calls that it asked for together another. */
function langGraph(): (fact: RunFact) => boolean {
  const limit = 25
  let supersteps = 0
  let lastKind = ''
  return (fact) => {
    if (isPerson(fact)) supersteps = 0
    if (fact.kind === 'model' || (fact.kind === 'tool' && lastKind !== 'tool')) supersteps++
    lastKind = fact.kind
    return fact.kind !== 'user' && supersteps > limit
  }
}

function modelCalls(limit: number): (fact: RunFact) => boolean {
  let calls = 0
  return (fact) => {
    if (isPerson(fact)) calls = 0
    if (fact.kind === 'model') calls++
    return fact.kind === 'model' && calls >= limit
  }
}
