import { limits } from '../model/limits.ts'
import type { RunFact } from '../model/run.ts'
import { Fields } from './run.ts'

/*
 * The ledger's own export: a header line, then one fact a line, in the order in
 * which they were observed; the runs of several attempts may be interleaved.
 * docs/replay.md describes it for people.
 */

export const exportFormat = 'prunella.run-facts'
export const exportVersion = 1

/** Whether the first line of a file says that it is such an export. */
export function isExportHeader(row: unknown): boolean {
  return typeof row === 'object' && row !== null && 'format' in row
}

/** @throws ReplayError when it is of another format or version. */
export function checkExportHeader(row: unknown, where: string): void {
  const fields = new Fields(row, where)
  fields.oneOf('format', [exportFormat])
  fields.oneOf('version', [exportVersion])
}

export interface ExportedFact {
  /** The attempt: its task and fence, or whatever names one run. */
  readonly run: string
  readonly pool: string | null
  readonly fact: RunFact
}

/**
 * One line after the header.
 *
 * @throws ReplayError naming line and field.
 */
export function readExportedFact(row: unknown, where: string): ExportedFact {
  const fields = new Fields(row, where)
  return { run: fields.text('run'), pool: fields.textOrNull('pool'), fact: readFact(fields.value('fact'), where) }
}

function readFact(value: unknown, where: string): RunFact {
  const fields = new Fields(value, `${where}.fact`)
  switch (fields.oneOf('kind', ['tool', 'model', 'user'])) {
    case 'tool':
      return {
        kind: 'tool',
        name: fields.text('name'),
        argsHash: fields.text('argsHash'),
        argsLength: fields.count('argsLength'),
        argsText: fields.textOrNull('argsText')?.slice(0, limits.noteLength) ?? null,
        resultHash: fields.text('resultHash'),
        resultNhash: fields.text('resultNhash'),
        resultLength: fields.count('resultLength'),
        isError: fields.flag('isError'),
        errorHash: fields.textOrNull('errorHash'),
        poll: fields.flag('poll', false),
      }
    case 'model':
      return {
        kind: 'model',
        promptTokens: fields.countOrNull('promptTokens'),
        completionTokens: fields.countOrNull('completionTokens'),
        textHash: fields.textOrNull('textHash'),
        textLength: fields.count('textLength'),
        toolCalls: fields.countOrNull('toolCalls'),
        window: fields.countOrNull('window'),
      }
    case 'user':
      return { kind: 'user', auto: fields.flag('auto', false) }
  }
}
