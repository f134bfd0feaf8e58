import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
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

/** @param only  The parts of a benchmark that can be run by themselves with `--only PART`, which may be given again. */
export function settingsOf<Part extends string = never>(
  argv: readonly string[],
  defaults: { readonly runs: number; readonly shortRuns: number; readonly only?: readonly Part[] },
): Settings & { readonly only: readonly Part[] } {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      runs: { type: 'string' },
      seed: { type: 'string' },
      short: { type: 'boolean' },
      only: { type: 'string', multiple: true },
    },
  })
  const parts = defaults.only ?? []
  const asked = values.only ?? parts
  const unknown = asked.find((name) => !parts.some((part) => part === name))
  if (unknown !== undefined)
    throw new RangeError(`--only must be one of: ${parts.join(', ') || 'none'}, got ${unknown}`)
  const short = values.short ?? false
  return {
    runs: Number(values.runs ?? (short ? defaults.shortRuns : defaults.runs)),
    seed: Number(values.seed ?? 1),
    short,
    only: parts.filter((part) => asked.includes(part)),
  }
}

export interface BenchNode {
  readonly node: Node
  readonly folder: string
  end(): Promise<void>
}

/** A node with a fresh store below the temporary directory. With a `token` it has an HTTP door on a free port, else none. */
export async function benchNode(
  pools: NonNullable<PrunellaConfig['pools']>,
  token: string | null = null,
  more: Pick<PrunellaConfig, 'dependencies' | 'gateway' | 'notify'> & { readonly chaos?: boolean } = {},
): Promise<BenchNode> {
  const folder = await mkdtemp(join(tmpdir(), 'prunella-bench-'))
  const config = resolveConfig(
    {
      ...{ pools, shutdown: '2s', http: { port: 0 } },
      ...{ dependencies: more.dependencies ?? {}, gateway: more.gateway ?? {}, notify: more.notify ?? [] },
    },
    { root: folder, stateFolder: join(folder, '.prunella'), env: {}, fileExists: () => true },
  )
  const silent = {
    info: () => undefined,
    warn: () => undefined,
    error: (_facts: unknown, message: string) => console.error(message),
  }
  const node = await startNode(config, { token, log: silent, chaos: more.chaos ?? false })
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

/**
 * Prints the table, writes `bench/results/NAME.json`, and says whether every bar was met.
 *
 * @param isKept  Rows of the file that stay, because this run left them out. Only beside a run of the same length.
 */
export async function report(
  name: string,
  settings: Settings,
  rows: readonly Row[],
  isKept: (row: Row) => boolean = () => false,
): Promise<boolean> {
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
  const file = new URL(`${name}.json`, folder)
  const before = await readFile(file, 'utf8').then(
    (text) => JSON.parse(text) as { readonly settings: Settings; readonly rows: readonly Row[] },
    () => null, // The first run.
  )
  const kept = before?.settings.short === settings.short ? before.rows.filter(isKept) : []
  const all = [...kept, ...rows].toSorted((a, b) => (kept.length === 0 ? 0 : a.what.localeCompare(b.what)))
  const result = { name, date: new Date().toISOString(), machine, settings, rows: all }
  await writeFile(file, `${JSON.stringify(result, null, 2)}\n`)
  return rows.every((each) => each.met !== false)
}

export function agentFile(name: string): string {
  return new URL(`agents/${name}.ts`, import.meta.url).pathname
}
