/** Durable no-op tasks a second, submit to done, through two real replica processes; and the latency of one when idle. */
import { startBullMq } from './peers/bullmq.ts'
import { agentFile, benchNode, quantile, type Row, ready, report, row, settingsOf, waitFor } from './support.ts'

const batch = 500

export async function run(argv: readonly string[]): Promise<boolean> {
  const settings = settingsOf(argv, { runs: 5, shortRuns: 2 })
  const tasks = settings.short ? 10_000 : 60_000
  const two = { min: 2, max: 2 }
  const bench = await benchNode({
    noop: { agent: agentFile('noop'), replicas: two },
    clock: { agent: agentFile('clock'), replicas: two },
  })
  const peer = await startBullMq()
  const { door } = bench.node
  const rates: number[] = []
  const peers: number[] = []
  const latencies: number[] = []
  try {
    await ready(bench.node, 4)
    for (let round = 0; round < settings.runs; round++) {
      rates.push(await throughput(door, tasks))
      if (peer !== null) peers.push(await peer.rate(tasks / 4))
      const beside = peer === null ? 'no redis-server, so no peer' : `${Math.round(peers.at(-1) ?? 0)} jobs/s beside it`
      console.error(`round ${round + 1} of ${settings.runs}: ${Math.round(rates.at(-1) ?? 0)} tasks/s, ${beside}`)
    }
    for (let at = 0; at < (settings.short ? 50 : 300); at++) latencies.push(await latency(door))
  } finally {
    await peer?.end()
    await bench.end()
  }
  return report('throughput', settings, rowsOf(rates, peers, latencies))
}

function rowsOf(rates: readonly number[], peers: readonly number[], latencies: readonly number[]): Row[] {
  const rate = quantile(rates, 0.5)
  const p50 = quantile(latencies, 0.5)
  const rows: Row[] = [
    row('durable no-op tasks, two replicas', rates, '/s', { text: 'at least 12,000/s', met: rate >= 12_000 }),
    row('submit to start, idle', latencies, 'ms', { text: 'p50 at most 1.6 ms', met: p50 <= 1.6 }),
  ]
  if (peers.length === 0) return rows
  const ratio = rate / quantile(peers, 0.5)
  return [
    ...rows,
    row('BullMQ, sandboxed, four at a time', peers, '/s', {
      text: `ours is at least 2.5 × that (${ratio.toFixed(1)})`,
      met: ratio >= 2.5,
    }),
  ]
}

type Door = Awaited<ReturnType<typeof benchNode>>['node']['door']

async function throughput(door: Door, tasks: number): Promise<number> {
  const startMs = performance.now()
  let ended = 0
  const { stop } = door.subscribe(null, ({ notice }) => {
    if (notice.kind === 'task' && notice.status === 'done') ended++
  })
  const submits: Promise<unknown>[] = []
  for (let sent = 0; sent < tasks; sent += batch) {
    submits.push(
      door.submit(
        'noop',
        Array.from({ length: batch }, () => ({ input: null })),
      ),
    )
    // As a door would: a bounded number of calls at once.
    if (submits.length >= 4) await submits.shift()
  }
  await waitFor(() => ended >= tasks, `${tasks} tasks done`, 120_000)
  stop()
  return tasks / ((performance.now() - startMs) / 1_000)
}

/** From the submit call to the first line of `run()`, on the machine's monotonic clock, which all processes share. */
async function latency(door: Door): Promise<number> {
  const startNs = process.hrtime.bigint()
  const [outcome] = await door.submit('clock', [{ input: null }])
  if (outcome === undefined || outcome.kind === 'refused') throw new Error('the task was refused')
  const task = await door.waitForTask(outcome.id, 10_000, new AbortController().signal)
  return Number(BigInt(String(task?.output)) - startNs) / 1e6
}
