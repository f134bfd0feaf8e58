import { setTimeout as sleep } from 'node:timers/promises'
import { type Row, row } from '../support.ts'

const kinds = ['startup', 'readiness', 'liveness'] as const

/** One answer of a health endpoint, and whether it was right; while replicas become ready one by one either is. */
export interface ProbeAnswer {
  readonly path: string
  readonly phase: 'starting' | 'between'
  readonly status: number
  readonly right: boolean
  readonly tookMs: number
}

interface ProbeWatch {
  /** When replicas ended their setup, by their own account, wall ms. */
  readonly setUp: () => Promise<readonly number[]>
  readonly replicas: number
  readonly timeoutMs: number
  readonly everyMs: number
}

/**
 * Asks every probe of node, pool and first replica until all say 200. Before the
 * first setup has ended only liveness may, since a process that starts is alive.
 *
 * @returns the answers, and the time from the last setup's end until everything was open.
 */
export async function watchProbes(
  url: string,
  pool: string,
  { setUp, replicas, timeoutMs, everyMs }: ProbeWatch,
): Promise<{ readonly answers: readonly ProbeAnswer[]; readonly openMs: number }> {
  const answers: ProbeAnswer[] = []
  const paths = ['', `?pool=${pool}`, `?replica=${pool}/0`].flatMap((scope) =>
    kinds.map((kind) => ({ kind, path: `/health/${kind}${scope}` })),
  )
  for (const endMs = performance.now() + timeoutMs; performance.now() < endMs; await sleep(everyMs)) {
    let open = 0
    for (const { kind, path } of paths) {
      const startMs = performance.now()
      const response = await fetch(url + path)
      await response.arrayBuffer()
      const tookMs = performance.now() - startMs
      // Asked afterwards: a setup that ended meanwhile excuses either answer.
      const phase = (await setUp()).length === 0 ? 'starting' : 'between'
      const right = response.status === (kind === 'liveness' ? 200 : 503) || phase === 'between'
      answers.push({ path, phase, status: response.status, right, tookMs })
      if (response.status === 200) open += 1
    }
    if (open === paths.length && (await setUp()).length === replicas)
      return { answers, openMs: Date.now() - Math.max(...(await setUp())) }
  }
  throw new Error(`the probes were not all 200 after ${timeoutMs} ms`)
}

export function probeRows(what: string, answers: readonly ProbeAnswer[], openMs: readonly number[]): readonly Row[] {
  const wrong = answers.filter((answer) => !answer.right)
  for (const { path, status } of wrong.slice(0, 10)) console.error(`wrong: ${path} said ${status}`)
  const starting = answers.filter(({ phase }) => phase === 'starting')
  return [
    row(`${what}: wrong answers of the probes, of ${starting.length}`, [wrong.length], '', {
      text: '0',
      met: wrong.length === 0,
    }),
    row(
      `${what}: an answer`,
      answers.map(({ tookMs }) => tookMs),
      'ms',
    ),
    row(`${what}: end of setup to all probes 200`, openMs, 'ms', {
      text: '≤ 2 s',
      met: Math.max(...openMs) <= 2_000,
    }),
  ]
}
