import type { TaskId } from '../../../src/model/ids.ts'
import type { PoolSpec } from '../../../src/model/pool.ts'
import type { Checker, ProcessName, Trace, TraceEvent } from '../trace.ts'
import { keyOf } from './acting.ts'

/** Failures in a row, on two tasks, after which everybody can see who is at fault. */
const enough = 3
/** How long its drain and its end may take once it has been seen, ms. */
const replacedWithinMs = 90_000

interface Misses {
  count: number
  readonly taskIds: Set<TaskId>
  firstMs: number
  /** Since when it is plain that it alone cannot reach the dependency. */
  plainMs: number | null
}

/** R1: the one replica that has lost its own connections is replaced, where anything may be done; its siblings get through. */
export class SeveredChecker implements Checker {
  readonly rule = 'severed_is_replaced'
  readonly sees = ['used', 'provider', 'supervisor', 'commit_failed', 'process', 'operator', 'committed'] as const
  private readonly trace: Trace
  private readonly observed: ReadonlySet<string>
  private readonly misses = new Map<string, Misses>()
  private readonly gotThroughMs = new Map<string, number>()

  constructor(trace: Trace, pools: readonly PoolSpec[]) {
    this.trace = trace
    this.observed = new Set(pools.filter(({ recovery }) => recovery.mode === 'observe').map(({ name }) => name))
  }

  see(event: TraceEvent, atMs: number): void {
    switch (event.kind) {
      case 'used':
        if (event.declared) this.used(event, event.ok, event.taskId, atMs)
        return
      case 'process':
        if (event.what === 'gone') this.misses.delete(keyOf(event))
        return
      case 'committed':
        // A pool that is held, or a verdict about the dependency, begins another story.
        for (const change of event.batch.decisions.flat())
          if (change.kind === 'dependency' || (change.kind === 'pool' && change.record.hold !== null))
            this.misses.clear()
        return
      default:
        // Who is away, cannot write, or knows of an outage, sees nothing plainly.
        this.misses.clear()
    }
  }

  private used(name: ProcessName, ok: boolean, taskId: TaskId, atMs: number): void {
    const key = keyOf(name)
    const pool = name.replica.split('/')[0] ?? ''
    if (this.observed.has(pool)) return
    if (ok) {
      this.misses.delete(key)
      this.gotThroughMs.set(key, atMs)
      return
    }
    const before = this.misses.get(key) ?? { count: 0, taskIds: new Set(), firstMs: atMs, plainMs: null }
    this.misses.set(key, before)
    before.count += 1
    before.taskIds.add(taskId)
    const sibling = [...this.gotThroughMs].some(
      ([other, okMs]) => other !== key && other.split('/')[0] === pool && okMs >= before.firstMs,
    )
    if (sibling && before.count >= enough && before.taskIds.size >= 2) before.plainMs ??= atMs
    if (before.plainMs !== null && atMs - before.plainMs > replacedWithinMs)
      this.trace.violate(this.rule, `${key} alone fails for ${atMs - before.plainMs} ms, and is not replaced`)
  }
}
