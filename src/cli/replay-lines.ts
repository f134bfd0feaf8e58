import type { ToolLoopSpec } from '../model/detect.ts'
import { checkExportHeader, isExportHeader, readExportedFact } from '../offline/export.ts'
import { type Findings, newReplay, type Replay, replayFact, replayRun } from '../offline/replay.ts'
import { type RecordedRun, ReplayError } from '../offline/run.ts'
import { readTrajectory } from '../offline/trajectory.ts'
import type { Line } from './lines.ts'

export interface ReplayedRun {
  readonly id: string
  readonly source: string | null
  readonly pool: string | null
  readonly facts: number
  readonly findings: Findings
  /** Where the file holds whole runs, for the score; null for an export, which has no labels. */
  readonly recorded: RecordedRun | null
}

/**
 * Replays a file of either format. A corpus yields each run as it is read, an
 * export all of them at its end, because the runs of several attempts are
 * interleaved; it then keeps one `RunState` a run, not its facts.
 *
 * @param file  How a refusal names it.
 * @throws ReplayError naming line and field.
 */
export async function* replayLines(
  lines: AsyncIterable<Line>,
  file: string,
  specOf: (pool: string | null) => ToolLoopSpec,
): AsyncGenerator<ReplayedRun> {
  let format: 'unknown' | 'trajectories' | 'export' = 'unknown'
  const exported = new Exported(specOf)
  for await (const { number, text } of lines) {
    const where = `${file}: line ${number}`
    const row = parsed(text, where)
    if (format === 'unknown') {
      format = isExportHeader(row) ? 'export' : 'trajectories'
      if (format === 'export') {
        checkExportHeader(row, where)
        continue
      }
    }
    if (format === 'export') exported.add(row, where)
    else yield replayed(readTrajectory(row, where), specOf)
  }
  if (format === 'unknown') throw new ReplayError(`${file} is empty: there is nothing to replay.`)
  yield* exported.runs()
}

function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ReplayError(`${where} is not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function replayed(run: RecordedRun, specOf: (pool: string | null) => ToolLoopSpec): ReplayedRun {
  const { id, source, pool, facts } = run
  return { id, source, pool, facts: facts.length, findings: replayRun(facts, specOf(pool)), recorded: run }
}

class Exported {
  readonly #specOf: (pool: string | null) => ToolLoopSpec
  readonly #runs = new Map<string, { readonly pool: string | null; replay: Replay }>()

  constructor(specOf: (pool: string | null) => ToolLoopSpec) {
    this.#specOf = specOf
  }

  add(row: unknown, where: string): void {
    const { run, pool, fact } = readExportedFact(row, where)
    const known = this.#runs.get(run) ?? { pool, replay: newReplay }
    known.replay = replayFact(known.replay, fact, this.#specOf(known.pool))
    this.#runs.set(run, known)
  }

  *runs(): Generator<ReplayedRun> {
    for (const [id, { pool, replay }] of this.#runs) {
      const { state, findings } = replay
      yield { id, source: null, pool, facts: state.facts, findings, recorded: null }
    }
  }
}
