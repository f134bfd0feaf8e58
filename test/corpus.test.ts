import { existsSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { defaultToolLoop } from '../src/model/detect.ts'
import { replayRun } from '../src/offline/replay.ts'
import { outcomeOf, type Score, scoreOf } from '../src/offline/score.ts'
import { readTrajectory } from '../src/offline/trajectory.ts'

const corpus = new URL('../../shared/data/trajectories/dev.jsonl.gz', import.meta.url)
const isThere = existsSync(corpus)

function score(): Score {
  const lines = gunzipSync(readFileSync(corpus)).toString('utf8').trim().split('\n')
  const outcomes = lines.flatMap((line, at) => {
    const run = readTrajectory(JSON.parse(line), `line ${at + 1}`)
    const outcome = outcomeOf(run, replayRun(run.facts, defaultToolLoop))
    return outcome === null ? [] : [outcome]
  })
  return scoreOf(lines.length, outcomes)
}

/** Sources with fewer clean runs than this have no share worth a bar. */
const fewCleanRuns = 30

test.skipIf(!isThere)(isThere ? 'the recorded runs, at default settings' : 'skipped: ../shared/data is absent', () => {
  const { act, nudge } = score()
  expect(act.loops.share).toBeGreaterThanOrEqual(0.95)
  expect(act.talk.share).toBeGreaterThanOrEqual(0.95)
  expect(act.falseAlarms.share).toBeLessThanOrEqual(0.008)
  for (const { source, falseAlarms } of act.sources) {
    if (falseAlarms.of >= fewCleanRuns) expect(falseAlarms.share, source).toBeLessThanOrEqual(0.02)
  }
  expect(act.medianModelCallsAfterOnset).toBeLessThanOrEqual(4)
  expect(nudge.medianModelCallsAfterOnset).toBeLessThanOrEqual(2)
  expect(nudge.falseAlarms.share).toBeLessThanOrEqual(0.04)
})
