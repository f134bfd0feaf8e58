import type { DependencySpec } from '../model/probe.ts'
import type { Clock } from '../port/clock.ts'
import type { Inbox } from '../port/inbox.ts'
import type { Prober } from '../port/prober.ts'

/** Asks one dependency, again and again, until aborted. What it means is decided elsewhere. */
export async function probeLoop(
  dependency: DependencySpec,
  parts: { readonly clock: Clock; readonly inbox: Inbox; readonly prober: Prober },
  signal: AbortSignal,
): Promise<void> {
  const { clock, inbox, prober } = parts
  await clock.sleepUntil(clock.nowMs() + dependency.probe.initialDelayMs, signal)
  while (!signal.aborted) {
    const startedMs = clock.nowMs()
    const result = await prober.check(dependency, signal)
    if (signal.aborted) return
    const atMs = clock.nowMs()
    inbox.push({ kind: 'dependency_checked', dependency: dependency.name, result, latencyMs: atMs - startedMs, atMs })
    await clock.sleepUntil(startedMs + dependency.probe.periodMs, signal)
  }
}
