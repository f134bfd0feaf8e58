import { plain } from './words.ts'

/** A cell, or a cell in a colour: good, doubtful, bad. */
export type Cell = string | number | { readonly text: string; readonly tone: Tone }
export type Tone = 'good' | 'doubtful' | 'bad' | 'plain'

const codes = { good: 32, doubtful: 33, bad: 31, plain: 0 } as const
/** Of one cell; foreign text beyond it is cut. */
const widest = 80

/** Lines with aligned columns, two spaces apart. Control characters of foreign text are gone. */
export function table(titles: readonly string[], rows: readonly (readonly Cell[])[], color: boolean): string[] {
  const clean = rows.map((row) => row.map(cleaned))
  const widths = titles.map((title, at) => Math.max(title.length, ...clean.map((row) => lengthOf(row[at]?.text ?? ''))))
  const line = (cells: readonly { readonly text: string; readonly tone: Tone }[]) =>
    cells
      .map(({ text, tone }, at) => {
        const isLast = at === cells.length - 1
        const gap = isLast ? '' : ' '.repeat((widths[at] ?? 0) - lengthOf(text) + 2)
        return paint(text, tone, color) + gap
      })
      .join('')
      .trimEnd()
  return [line(titles.map((text) => ({ text, tone: 'plain' }))), ...clean.map(line)]
}

function cleaned(cell: Cell): { readonly text: string; readonly tone: Tone } {
  const { text, tone } = typeof cell === 'object' ? cell : { text: String(cell), tone: 'plain' as const }
  const safe = plain(text)
  return { text: safe.length > widest ? `${safe.slice(0, widest - 1)}…` : safe, tone }
}

function lengthOf(text: string): number {
  return [...text].length
}

export function paint(text: string, tone: Tone, color: boolean): string {
  return color && tone !== 'plain' ? `\u001b[${codes[tone]}m${text}\u001b[0m` : text
}

/** How a status of a task, a pool, a replica or an incident is coloured. */
export function toneOf(status: string): Tone {
  if (/^(healthy|ready|done|closed|ok|up)$/.test(status)) return 'good'
  if (/^(unhealthy|quarantined|failed|dead_letter|open|needs_review|down)$/.test(status)) return 'bad'
  return /^(degraded|draining|stopping|waiting|held|returning|probation)$/.test(status) ? 'doubtful' : 'plain'
}

export function toned(status: string): Cell {
  return { text: status, tone: toneOf(status) }
}
