import { expect, test } from 'vitest'
import { dependencySpec, poolRow, poolSpec, runningAttempt } from '../../test/fixtures/specs.ts'
import { viewOf } from '../../test/fixtures/view.ts'
import type { DependencyRow, FailureMark } from '../model/rows.ts'
import { newDependency, opened, saw } from './breaker.ts'
import { excuseFor } from './excuse.ts'

const nowMs = 10_000
const fresh = newDependency(dependencySpec(), 0)
const heard: DependencyRow = { ...fresh, last: { result: { ok: true }, latencyMs: 1, atMs: 9_500 } }
const mark: FailureMark = {
  ...{ atMs: 9_000, kind: 'task_failed', replica: 'p/0', taskId: 't', dependency: 'provider' },
  ...{ suspects: ['t'], awaited: [], counted: true, lost: false },
}

/** So many replicas fail on it just now. */
function accused(count: number, atMs = 9_900): DependencyRow {
  const calls = Array.from({ length: count }, (_, at) => ({ replica: `p/${at}` as const, taskId: `t${at}`, ok: false }))
  return calls.reduce((row, call) => saw(row, { ...call, atMs, begunMs: 0 }), heard)
}

test.each<{ name: string; row: DependencyRow; counted?: number; attempt?: number; is: boolean }>([
  { name: 'it is down', row: opened(heard, 'refused', nowMs), counted: 0, is: true },
  { name: 'not the last attempt', row: fresh, counted: 1, is: false },
  { name: 'the last one, and its check was not heard', row: fresh, is: true },
  { name: 'its check has passed since', row: heard, is: false },
  {
    name: 'its check has passed before',
    row: { ...heard, last: { result: { ok: true }, latencyMs: 1, atMs: 9_000 } },
    is: true,
  },
  { name: 'another replica fails on it as well', row: accused(2), is: true },
  { name: 'this replica alone does', row: accused(1), is: false },
  { name: 'others did, longer ago than the window', row: accused(2, -1), is: false },
  { name: 'others do, and it was tried so often that it may be its own doing', row: accused(2), attempt: 6, is: false },
  { name: 'once less', row: accused(2), attempt: 5, is: true },
])('a failure costs nothing when: $name ($is)', ({ row, counted = 2, attempt = 3, is }) => {
  const failing = runningAttempt('t', { attempt, countedAttempts: counted })
  const view = viewOf({
    ...{ nowMs, spec: poolSpec({ dependsOn: ['provider'] }), pool: poolRow({ marks: [mark] }) },
    dependencies: new Map([['provider', row]]),
  })
  expect(excuseFor(view, failing, 'provider') !== null).toBe(is)
})
