import type { Reporter, SerializedError, TestCase, TestModule, Vitest } from 'vitest/node'

interface Tally {
  readonly passed: number
  readonly failed: number
  /** Full names, each with the reason it gave. */
  readonly skipped: readonly string[]
}

/**
 * Counts what a run showed. A failure is a failed or unfinished test, a module
 * or suite that broke outside its tests (failed to load, failed in `beforeAll`)
 * and an unhandled error; so is a run without any test.
 */
function tally(modules: readonly TestModule[], unhandled: readonly unknown[]): Tally {
  const tests = modules.flatMap((module) => [...module.children.allTests()])
  const skipped = tests.filter((test) => test.result().state === 'skipped')
  const passed = tests.filter((test) => test.result().state === 'passed').length
  const broken = modules
    .flatMap((module) => [module, ...module.children.allSuites()])
    .filter((suite) => suite.errors().length > 0).length
  const failed = tests.length - passed - skipped.length + broken + unhandled.length
  return { passed, failed: passed + failed === 0 ? 1 : failed, skipped: skipped.map(describeSkip) }
}

/** The line that CI reads. With `noSkip` a skipped test is a failed one. */
function closingLine({ passed, failed, skipped }: Tally, noSkip: boolean): string {
  const counts = `${passed} passed, ${failed + (noSkip ? skipped.length : 0)} failed`
  return skipped.length > 0 && !noSkip ? `${counts}, ${skipped.length} skipped` : counts
}

/**
 * Ends the output with `N passed, N failed`. It prints on exit, so that nothing
 * comes after it. `PRUNELLA_NO_SKIP=1`, which CI sets, makes a skipped test fail
 * the run: on a machine that installs everything no test has a reason to skip.
 */
export class ClosingLine implements Reporter {
  readonly #noSkip = process.env.PRUNELLA_NO_SKIP === '1'
  #tally: Tally = tally([], []) // Stands when no run ends: nothing was tested, which is a failure.
  #filtered = false

  onInit(vitest: Vitest): void {
    this.#filtered = vitest.config.testNamePattern !== undefined
    process.once('exit', () => this.#close())
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const seen = tally(modules, unhandled)
    this.#tally = this.#filtered ? { ...seen, skipped: [] } : seen // With -t, most tests are skipped on purpose.
  }

  #close(): void {
    const { failed, skipped } = this.#tally
    for (const name of skipped) process.stdout.write(`skipped: ${name}\n`)
    process.stdout.write(`${closingLine(this.#tally, this.#noSkip)}\n`)
    if (failed > 0 || (this.#noSkip && skipped.length > 0)) process.exitCode = 1
  }
}

function describeSkip(test: TestCase): string {
  const result = test.result()
  const reason =
    (result.state === 'skipped' && result.note) || (test.options.mode === 'todo' ? 'todo' : 'no reason given')
  return `${test.module.relativeModuleId} > ${test.fullName}: ${reason}`
}
