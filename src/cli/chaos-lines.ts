import { type ChaosPlace, chaosFaults, chaosTable } from '../model/chaos.ts'
import type { Score } from './chaos-score.ts'
import { type Cell, table } from './table.ts'
import { span } from './words.ts'

const places: Readonly<Record<ChaosPlace, string>> = {
  process: 'any agent',
  agent: 'module agents',
  dependency: 'dependencies',
}

/** What can be injected, and what should come of it. */
export function showFaults(color: boolean): readonly string[] {
  const rows = chaosFaults.map((name) => {
    const { what, place, verdict, actions } = chaosTable[name]
    return [name, places[place], what, verdict?.kinds[0] ?? 'nothing', actions.join(', ') || 'nothing']
  })
  return table(['fault', 'where', 'what', 'right verdict', 'right actions'], rows, color)
}

export interface Skipped {
  readonly fault: string
  readonly why: string
}

export function showScorecard(
  scores: readonly Score[],
  skipped: readonly Skipped[],
  color: boolean,
): readonly string[] {
  const titles = ['fault', 'noticed after', 'recovered after', 'lost', 'done twice', 'wrong actions', 'taken for', '']
  const rows = scores.map((score): readonly Cell[] => {
    const { fault, noticedMs, recoveredMs, lost, doneTwice, wrongActions, verdicts, wrong } = score
    const end: Cell = wrong.length === 0 ? { text: 'right', tone: 'good' } : { text: 'WRONG', tone: 'bad' }
    const counts = [lost ?? '-', doneTwice ?? '-', wrongActions.length]
    const ofEnd = chaosTable[fault].place === 'dependency' && recoveredMs !== null ? ' after its end' : ''
    return [fault, span(noticedMs), `${span(recoveredMs)}${ofEnd}`, ...counts, verdicts.join(', ') || 'nothing', end]
  })
  return [
    ...(rows.length === 0 ? [] : table(titles, rows, color)),
    ...scores.flatMap(({ fault, wrong }) => wrong.map((text) => `${fault}: ${text}.`)),
    ...skipped.map(({ fault, why }) => `${fault}: skipped. ${why}`),
    ...(scores.some(({ lost }) => lost === null) ? [uncounted] : []),
  ]
}

const uncounted =
  'Lost and done twice were not counted: these were the tasks of others. With --input chaos brings its own.'
