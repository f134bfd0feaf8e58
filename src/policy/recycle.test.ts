import { describe, expect, test } from 'vitest'
import { dependencySpec, poolSpec, readyReplica, runningAttempt } from '../../test/fixtures/specs.ts'
import { viewAfter, viewOf } from '../../test/fixtures/view.ts'
import type { DependencyRow } from '../model/rows.ts'
import { newDependency, opened, saw } from './breaker.ts'
import type { View } from './outcome.ts'
import { onBack } from './pool-turn.ts'
import { recycle } from './recycle.ts'
import { taskFailed } from './task-failed.ts'

const spec = poolSpec({ dependsOn: ['db'] })
const fresh = newDependency(dependencySpec({ name: 'db', role: 'database', critical: true }), 0)
/** p/0 fails on it, p/1 gets through. */
const cutOff = [10, 20, 30].reduce(
  (row, atMs) => saw(row, { replica: 'p/0', taskId: `t${atMs}`, ok: false, atMs, begunMs: atMs }),
  saw(fresh, { replica: 'p/1', taskId: 't', ok: true, atMs: 12, begunMs: 12 }),
)
const checked = (row: DependencyRow, ok: boolean, atMs: number): DependencyRow => ({
  ...row,
  last: { result: ok ? { ok } : { ok, reason: 'refused' }, latencyMs: 1, atMs },
})
const viewWith = (row: DependencyRow, more: Partial<View> = {}): View =>
  viewOf({ nowMs: 50, spec, dependencies: new Map([['db', row]]), siblings: [readyReplica(1)], ...more })

describe('a replica that alone cannot reach what it needs', () => {
  test('is drained and replaced as soon as the check passes, without another task that fails', () => {
    const outcome = recycle(viewWith(checked(cutOff, true, 40)), 'db')
    expect(outcome?.replicas[0]?.phase).toMatchObject({ kind: 'draining', after: 'restart' })
    expect(outcome?.incidents[0]).toMatchObject({ dependency: 'db', fault: { culprit: 'agent' } })
    expect(outcome?.dependencies.at(-1)?.witnesses).not.toHaveProperty('p/0')
  })

  test.each<{ name: string; row: DependencyRow; more?: Partial<View>; of?: string }>([
    { name: 'its check has said nothing since', row: checked(cutOff, true, 10) },
    { name: 'its check fails', row: checked(cutOff, false, 40) },
    { name: 'it is down', row: opened(checked(cutOff, true, 40), 'refused', 45) },
    { name: 'another dependency was checked', row: checked(cutOff, true, 40), of: 'llm' },
    { name: 'it is a sibling that fails', row: checked(cutOff, true, 40), more: { replica: readyReplica(1) } },
    {
      name: 'it is being replaced already',
      row: checked(cutOff, true, 40),
      more: { replica: readyReplica(0, { phase: { kind: 'draining', untilMs: 99, after: 'restart' } }) },
    },
  ])('stays: $name', ({ row, more = {}, of = 'db' }) => {
    expect(recycle(viewWith(row, more), of)).toBeNull()
  })

  const attempt = runningAttempt('t40', { replica: 'p/0' })
  const error = (dependency: string) => ({ name: 'Error', message: 'lost', dependency })
  const endOf = (view: View, dependency: string) =>
    taskFailed(view, attempt, error(dependency))
      .decisions.flatMap(({ changes }) => changes)
      .find(({ kind }) => kind === 'end_attempt')

  test('what it still has in hand fails uncounted while it is drained, for that dependency and for no other', () => {
    const view = viewWith(checked(cutOff, true, 40), { attempts: [attempt], poolAttempts: [attempt] })
    expect(endOf(view, 'db')).toMatchObject({ counted: true })
    const draining = viewAfter(view, recycle(view, 'db'))
    expect(endOf(draining, 'db')).toMatchObject({ counted: false })
    expect(endOf(draining, 'llm')).toMatchObject({ counted: true })
  })
})

test.each([
  { verdict: 'failed', isAsked: true },
  { verdict: 'ok', isAsked: false },
  { verdict: 'unknown', isAsked: false },
] as const)(
  'a dependency is back: own checks that say "$verdict" are asked at once: $isAsked',
  ({ verdict, isAsked }) => {
    const before = readyReplica(0)
    const row = { ...before, readiness: { ...before.readiness, verdict, nextAtMs: 30_000 } }
    const { pool, incidents, dependencies } = viewWith(fresh)
    const view = { nowMs: 50, spec, pool, replicas: [row], attempts: [], incidents, dependencies }
    const outcome = onBack(view, fresh, new Map([['db', opened(fresh, 'refused', 10)]]))
    expect(outcome.replicas.find(({ name }) => name === row.name)?.readiness.nextAtMs).toBe(isAsked ? 50 : undefined)
  },
)
