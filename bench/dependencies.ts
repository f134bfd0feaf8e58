/** A database or tool server that is hurt under load, and one replica alone that loses it: nobody restarted, nothing lost. `--only database`, `--only mcp`. */
import { database } from './parts/dependencies-database.ts'
import { mcp } from './parts/dependencies-mcp.ts'
import { type Row, report, settingsOf } from './support.ts'

/** Each gives rows whose words begin with its name. */
const parts = { database, mcp } as const
const names = ['database', 'mcp'] as const

export async function run(argv: readonly string[]): Promise<boolean> {
  const { only, ...settings } = settingsOf(argv, { runs: 1, shortRuns: 1, only: names })
  const rows: Row[] = []
  for (const name of only) rows.push(...(await parts[name](settings)))
  return report('dependencies', settings, rows, ({ what }) => !only.some((name) => what.startsWith(name)))
}
