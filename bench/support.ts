import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Node, startNode } from '../src/compose.ts'
import { type PrunellaConfig, resolveConfig } from '../src/config/index.ts'

export interface Settings {
  readonly runs: number
  readonly seed: number
  readonly short: boolean
}

export function settingsOf(
  argv: readonly string[],
  defaults: { readonly runs: number; readonly shortRuns: number },
): Settings {
  const { values } = parseArgs({
    args: [...argv],
    options: { runs: { type: 'string' }, seed: { type: 'string' }, short: { type: 'boolean' } },
  })
  const short = values.short ?? false
  return {
    runs: Number(values.runs ?? (short ? defaults.shortRuns : defaults.runs)),
    seed: Number(values.seed ?? 1),
    short,
  }
}

export interface BenchNode {
  readonly node: Node
  readonly folder: string
  end(): Promise<void>
}

/** A node with a fresh store below the temporary directory, without doors. Its agents read `folder` from `BENCH_FOLDER`. */
export async function benchNode(pools: NonNullable<PrunellaConfig['pools']>): Promise<BenchNode> {
  const folder = await mkdtemp(join(tmpdir(), 'prunella-bench-'))
  const config = resolveConfig(
    { pools, shutdown: '2s' },
    { root: folder, stateFolder: join(folder, '.prunella'), env: {}, fileExists: () => true },
  )
  const silent = {
    info: () => undefined,
    warn: () => undefined,
    error: (_facts: unknown, message: string) => console.error(message),
  }
  const node = await startNode(config, { token: null, log: silent })
  return {
    node,
    folder,
    async end() {
      await node.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 60_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

export async function ready(node: Node, replicas: number): Promise<void> {
  await waitFor(
    () => node.door.replicas().filter((replica) => replica.ready).length >= replicas,
    `${replicas} ready replicas`,
  )
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

export interface Row {
  readonly what: string
  readonly n: number
  readonly median: number
  readonly min: number
  readonly max: number
  readonly unit: string
  /** The bar it was held to, in words, and whether it was met; absent where there is none. */
  readonly bar?: string
  readonly met?: boolean
}

export function row(
  what: string,
  values: readonly number[],
  unit: string,
  bar?: { readonly text: string; readonly met: boolean },
): Row {
  return {
    what,
    n: values.length,
    median: quantile(values, 0.5),
    min: Math.min(...values),
    max: Math.max(...values),
    unit,
    ...(bar === undefined ? {} : { bar: bar.text, met: bar.met }),
  }
}

/** Prints the table, writes `bench/results/NAME.json`, and says whether every bar was met. */
export async function report(name: string, settings: Settings, rows: readonly Row[]): Promise<boolean> {
  const number = (value: number): string =>
    Math.abs(value) >= 1_000 ? Math.round(value).toLocaleString('en') : value.toFixed(2)
  const wide = Math.max(...rows.map((each) => each.what.length))
  for (const each of rows) {
    const verdict = each.bar === undefined ? '' : `  ${each.met === true ? 'ok  ' : 'MISS'} ${each.bar}`
    console.log(
      `${each.what.padEnd(wide)}  ${number(each.median).padStart(10)} ${each.unit}  (${number(each.min)}–${number(each.max)}, n=${each.n})${verdict}`,
    )
  }
  const folder = new URL('results/', import.meta.url)
  await mkdir(folder, { recursive: true })
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version }
  const result = { name, date: new Date().toISOString(), machine, settings, rows }
  await writeFile(new URL(`${name}.json`, folder), `${JSON.stringify(result, null, 2)}\n`)
  return rows.every((each) => each.met !== false)
}

export function agentFile(name: string): string {
  return new URL(`agents/${name}.ts`, import.meta.url).pathname
}
