import type { Levels, VerdictLevel } from '../../model/detect.ts'

/** The loudest level that `value` reaches, or null. */
export function levelOf(value: number, { note, nudge, act }: Levels): VerdictLevel | null {
  if (value >= act) return 'act'
  if (value >= nudge) return 'nudge'
  return value >= note ? 'note' : null
}

const ranks: Readonly<Record<VerdictLevel, number>> = { note: 1, nudge: 2, act: 3 }

export function isLouder(level: VerdictLevel, than: VerdictLevel | null): boolean {
  return than === null || ranks[level] > ranks[than]
}
