import { limits } from '../../../model/limits.ts'
import type { ModelFact, ToolFact } from '../../../model/run.ts'

/** A call that ended, as it is remembered. */
export interface SeenCall {
  /** Fact of the run, from 0. */
  readonly at: number
  readonly fact: ToolFact
  /** Tool and arguments. */
  readonly request: string
  /** Tool and result: to the letter for a success, without its digits (or by `errorHash`) for a failure. */
  readonly answer: string
}

/** What is kept of a run since the last message of a person. Every list has a limit, so a run of any length costs the same. */
export interface RunMemory {
  /** Newest last; at most `limits.callsRemembered`. */
  readonly calls: readonly SeenCall[]
  /** By hash, newest last; at most `limits.hashesRemembered` each. */
  readonly requests: readonly string[]
  readonly results: readonly string[]
  readonly texts: readonly string[]
  /** Whether the words that came with the newest calls had been said before. */
  readonly isTextOld: boolean
  /** The newest call that brought something: a success with new arguments or a new result. */
  readonly productiveAt: number
}

export const emptyMemory: RunMemory = {
  calls: [],
  requests: [],
  results: [],
  texts: [],
  isTextOld: false,
  productiveAt: 0,
}

/** How a call compares with what the run has seen. */
export interface Novelty {
  readonly isNewRequest: boolean
  /** Not in this run and from this tool, digits aside. */
  readonly isNewResult: boolean
  readonly isTextOld: boolean
}

export function seenCall(at: number, fact: ToolFact): SeenCall {
  const result = fact.isError ? (fact.errorHash ?? fact.resultNhash) : fact.resultHash
  return { at, fact, request: `${fact.name} ${fact.argsHash}`, answer: `${fact.name} ${result}` }
}

/** A result without a word, such as that of a search that found nothing. */
export function isEmpty({ fact }: SeenCall): boolean {
  return fact.resultLength <= 1
}

export function noveltyOf(memory: RunMemory, { fact, request }: SeenCall): Novelty {
  return {
    isNewRequest: !memory.requests.includes(request),
    isNewResult: !memory.results.includes(resultKey(fact)),
    isTextOld: memory.isTextOld,
  }
}

export function rememberCall(memory: RunMemory, call: SeenCall, { isNewRequest, isNewResult }: Novelty): RunMemory {
  const isProductive = !call.fact.isError && (isNewRequest || isNewResult)
  return {
    ...memory,
    calls: added(memory.calls, call, limits.callsRemembered),
    requests: isNewRequest ? added(memory.requests, call.request, limits.hashesRemembered) : memory.requests,
    results: isNewResult ? added(memory.results, resultKey(call.fact), limits.hashesRemembered) : memory.results,
    productiveAt: isProductive ? call.at : memory.productiveAt,
  }
}

export function rememberText(memory: RunMemory, { textHash, textLength }: ModelFact): RunMemory {
  if (textHash === null || textLength === 0) return memory.isTextOld ? { ...memory, isTextOld: false } : memory
  const isTextOld = memory.texts.includes(textHash)
  return {
    ...memory,
    isTextOld,
    texts: isTextOld ? memory.texts : added(memory.texts, textHash, limits.hashesRemembered),
  }
}

function resultKey({ name, resultNhash }: ToolFact): string {
  return `${name} ${resultNhash}`
}

function added<Item>(list: readonly Item[], item: Item, most: number): readonly Item[] {
  return list.length < most ? [...list, item] : [...list.slice(1 - most), item]
}
