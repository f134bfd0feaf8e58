import type { LeaveOneOut } from '../offline/leave-one-out.ts'
import type { LevelScore, Score, ScoredLevel, Share } from '../offline/score.ts'
import type { ReplayedRun } from './replay-lines.ts'
import { type Cell, table } from './table.ts'

export function showFlagged(runs: readonly ReplayedRun[], level: ScoredLevel, color: boolean): readonly string[] {
  if (runs.length === 0) return []
  const rows = runs.map(({ id, findings }): Cell[] => {
    const found = findings[level]
    return [id, found?.step ?? '-', found?.modelCall ?? '-', found?.form ?? '-', found?.evidence[0] ?? '-']
  })
  return [...table(['run', 'step', 'model call', 'form', 'evidence'], rows, color), '']
}

export function showScore({ act, nudge }: Score, color: boolean): readonly string[] {
  return ['', ...levels('on these runs', { act, nudge }, color)]
}

export function showLeaveOneOut({ free, scaled }: LeaveOneOut, color: boolean): readonly string[] {
  return [
    '',
    ...levels('each source by one factor on the defaults, tuned on the others', scaled, color),
    '',
    ...levels('each source by thresholds tuned from nothing on the others', free, color),
  ]
}

function levels(title: string, scores: Readonly<Record<ScoredLevel, LevelScore>>, color: boolean): readonly string[] {
  const rows = (['act', 'nudge'] as const).flatMap((level): Cell[][] => {
    const score = scores[level]
    const after = score.medianModelCallsAfterOnset ?? '-'
    const all: Cell[] = [level, 'all', share(score.loops), share(score.talk), share(score.falseAlarms), after]
    const bySource = score.sources.map(({ source, loops, talk, falseAlarms }): Cell[] => [
      level,
      source,
      share(loops),
      share(talk),
      share(falseAlarms),
      '',
    ])
    return [all, ...bySource]
  })
  const titles = ['level', 'source', 'loops caught', 'talk caught', 'clean flagged', 'median calls after onset']
  return [`${title}:`, ...table(titles, rows, color)]
}

function share({ count, of, share: value }: Share): string {
  return value === null ? '-' : `${(100 * value).toFixed(1)} % (${count}/${of})`
}
