import { assertNever } from '../../../model/assert.ts'
import type { LoopForm } from '../../../model/detect.ts'
import { limits } from '../../../model/limits.ts'
import type { SeenCall } from './memory.ts'

/** What a form counted. */
export interface Signal {
  readonly form: LoopForm
  readonly count: number
  readonly since: number
  /** Calls of one round; 1 without a cycle. */
  readonly period: number
}

/** One sentence, then the matching calls, newest last. */
export function evidenceOf(signal: Signal, calls: readonly SeenCall[]): readonly string[] {
  return [sentence(signal), ...matching(signal, calls).map(quoted)]
}

function sentence({ form, count, since, period }: Signal): string {
  const from = `since fact ${since}`
  switch (form) {
    case 'same_call':
      return `the same call returned the same result ${count} times in the last ${limits.loopDensity} calls`
    case 'same_failure':
      return `the same call failed with the same error ${count} times in the last ${limits.loopDensity} calls`
    case 'cycle':
      return `a cycle of ${period} calls with the same results went round ${count} times, ${from}`
    case 'same_error':
      return `${count} failures in a row with the same error or of the same call, ${from}`
    case 'growing_arguments':
      return `${count} calls in a row whose arguments only grow, with the same result, ${from}`
    case 'same_answer':
      return `${count} calls in a row with other arguments and the same result, ${from}`
    case 'digits_only':
      return `the same call returned results that differ in digits only ${count} times in a row, ${from}`
    case 'same_request':
      return `the same call again and again whatever it returns (${count} points, ${from})`
    case 'request_cycle':
      return `a cycle of ${period} calls went round ${count} times whatever they return, ${from}`
    case 'talk':
      return `${count} answers in a row without any action, ${from}`
    case 'monologue':
      return `${count} identical answers in a row without any action, ${from}`
    case 'stagnation':
      return `no new result ${from}: ${count} stall points from repeats, failures and talk`
    default:
      return assertNever(form)
  }
}

function matching({ form, since }: Signal, calls: readonly SeenCall[]): readonly SeenCall[] {
  if (form === 'talk' || form === 'monologue') return []
  const newest = calls.at(-1)
  const isOne = form === 'same_call' || form === 'same_failure'
  return calls
    .filter(({ at, request }) => at >= since && (!isOne || request === newest?.request))
    .slice(-limits.evidenceCalls)
}

function quoted({ at, fact }: SeenCall): string {
  const args = fact.argsText ?? `arguments ${fact.argsHash} (${fact.argsLength} characters)`
  const outcome = fact.isError ? 'error' : 'result'
  const text = `fact ${at}: ${fact.name} ${args} → ${outcome} ${fact.resultHash} (${fact.resultLength} characters)`
  return text.length > limits.noteLength ? `${text.slice(0, limits.noteLength - 1)}…` : text
}
