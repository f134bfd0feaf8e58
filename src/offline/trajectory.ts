import { limits } from '../model/limits.ts'
import type { RunFact } from '../model/run.ts'
import { Fields, type Label, type RecordedRun } from './run.ts'

/**
 * One line of a trajectory corpus: a recorded run with its steps. Of everything
 * else only identity and label are taken, and the label only for the score.
 *
 * @param where  How a refusal names the line.
 * @throws ReplayError naming line and field.
 */
export function readTrajectory(row: unknown, where: string): RecordedRun {
  const fields = new Fields(row, where)
  return {
    id: fields.text('id'),
    source: fields.textOrNull('source'),
    pool: null,
    facts: fields.list('steps').map((step, at) => readStep(step, `${where}.steps[${at}]`)),
    label: fields.has('label') ? readLabel(fields) : null,
  }
}

function readLabel(fields: Fields): Label {
  return {
    kind: fields.oneOf('label', ['stuck', 'clean', 'unclear']),
    rule: fields.textOrNull('rule'),
    onset: fields.countOrNull('onset'),
  }
}

function readStep(step: unknown, where: string): RunFact {
  const fields = new Fields(step, where)
  switch (fields.oneOf('kind', ['tool', 'llm', 'user'])) {
    case 'tool':
      return {
        kind: 'tool',
        name: fields.text('name'),
        argsHash: fields.text('args_hash'),
        argsLength: fields.count('args_len'),
        argsText: fields.textOrNull('args')?.slice(0, limits.noteLength) ?? null,
        resultHash: fields.text('result_hash'),
        resultNhash: fields.text('result_nhash'),
        resultLength: fields.count('result_len'),
        isError: fields.flag('is_error'),
        poll: fields.flag('poll', false),
      }
    case 'llm':
      return {
        kind: 'model',
        promptTokens: fields.countOrNull('prompt_tokens'),
        completionTokens: fields.countOrNull('completion_tokens'),
        textHash: fields.textOrNull('text_hash'),
        textLength: fields.count('text_len'),
        toolCalls: fields.countOrNull('tool_calls'),
        window: null,
      }
    case 'user':
      return { kind: 'user', auto: fields.flag('auto', false) }
  }
}
