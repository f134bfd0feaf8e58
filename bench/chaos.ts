/** Every fault that `prunella chaos` knows, injected at default thresholds: the scorecard. */
import { createServer } from 'node:net'
import { setInterval as every } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { showScorecard } from '../src/cli/chaos-lines.ts'
import type { Score } from '../src/cli/chaos-score.ts'
import { main } from '../src/cli/program.ts'
import { benchNode, type Row, ready, report, row, settingsOf } from './support.ts'

const token = 'bench-token-bench-token'
const replicas = 3
const short = ['crash', 'throw', 'hang', 'tool-loop', 'poison']

interface Card {
  readonly faults: readonly Score[]
  readonly skipped: readonly { readonly fault: string; readonly why: string }[]
}

export async function run(argv: readonly string[]): Promise<boolean> {
  const settings = settingsOf(argv, { runs: 1, shortRuns: 1 })
  const scores: Score[] = []
  for (let at = 0; at < settings.runs; at++) scores.push(...(await scorecard(settings.short ? short : ['all'])))
  const faults = [...new Set(scores.map(({ fault }) => fault))]
  const rows = faults.flatMap((fault): Row[] => {
    const of = scores.filter((score) => score.fault === fault)
    const met = of.every(({ wrong }) => wrong.length === 0)
    const values = (key: 'noticedMs' | 'recoveredMs') => of.flatMap((score) => score[key] ?? []).map((ms) => ms / 1_000)
    const wrongs = row(
      `${fault}: wrongs`,
      of.map(({ wrong }) => wrong.length),
      'n',
      { text: '0', met },
    )
    const noticed = values('noticedMs')
    if (noticed.length === 0) return [wrongs]
    return [wrongs, row(`${fault}: noticed`, noticed, 's'), row(`${fault}: recovered`, values('recoveredMs'), 's')]
  })
  return report('chaos', settings, rows)
}

/** One node, and the command as a person calls it, but for its output. */
async function scorecard(names: readonly string[]): Promise<readonly Score[]> {
  const archive = createServer((socket) => socket.end())
  await new Promise<void>((resolve) => archive.listen(0, '127.0.0.1', resolve))
  const address = archive.address()
  const port = typeof address === 'object' ? address?.port : 0
  const dependencies = { archive: { check: { tcp: `127.0.0.1:${port}` }, critical: true } }
  const agent = fileURLToPath(new URL('../test/fixtures/agents/clerk.ts', import.meta.url))
  const pool = {
    agent,
    replicas: { min: replicas, max: replicas },
    dependsOn: ['archive'],
    limits: { memory: '256Mi' },
  }
  const bench = await benchNode({ clerks: pool }, token, { chaos: true, dependencies })
  const scores: Score[] = []
  try {
    await ready(bench.node, replicas)
    for (const name of names) {
      const out: string[] = []
      const line = ['chaos', name, '--pool', 'clerks', '--input', '{"name":"Ada"}', '--json']
      await main([...line, '--url', bench.node.url ?? '', '--token', token], {
        ...{ folder: bench.folder, color: false, token: null, progress: null, fetch },
        out: (text) => void out.push(text),
        err: (text) => console.error(text),
        readInput: async () => '',
        eachSecond: (signal) => every(1_000, undefined, { signal }),
        onStop: () => () => undefined,
      })
      const { faults, skipped }: Card = JSON.parse(out[0] ?? '{"faults":[],"skipped":[]}')
      for (const text of showScorecard(faults, skipped, false)) console.log(text)
      scores.push(...faults)
    }
  } finally {
    await bench.end()
    archive.close()
  }
  return scores
}
