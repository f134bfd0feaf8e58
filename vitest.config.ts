import { defineConfig } from 'vitest/config'
import { ClosingLine } from './test/reporter.ts'

// Imports of `prunella` and `prunella/agent` mean the source here, in tests and in what they import.
const source = {
  resolve: { conditions: ['prunella-source'] },
  ssr: { resolve: { conditions: ['prunella-source'] } },
}

export default defineConfig({
  test: {
    reporters: ['default', new ClosingLine()],
    projects: [
      {
        ...source,
        test: {
          name: 'unit',
          include: [
            'src/**/*.test.ts',
            'test/*.test.ts',
            'test/contract/**/*.test.ts',
            'test/gateway/**/*.test.ts',
            'test/sim/**/*.test.ts',
          ],
          isolate: false, // 50 files: 0.95 s, and 6.4 s with isolation.
          testTimeout: 20_000, // A busy machine is no failure.
        },
      },
      {
        ...source,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          pool: 'forks',
          fileParallelism: false, // These measure time and kill processes: one at a time, after the unit tests.
          sequence: { groupOrder: 1 },
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
