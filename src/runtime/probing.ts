import type { DependencySpec } from '../model/probe.ts'
import type { Clock } from '../port/clock.ts'
import type { Inbox } from '../port/inbox.ts'
import type { Prober } from '../port/prober.ts'

export interface Probing {
  /** Asks a dependency once; the answer comes through the inbox. One question at a time: another one is dropped. */
  ask(dependency: string): void
  /** No answer arrives any more. */
  stop(): void
}

/** Carries out `probe`. When to ask and what an answer means is decided elsewhere. */
export function createProbing(
  specs: readonly DependencySpec[],
  parts: { readonly clock: Clock; readonly inbox: Inbox; readonly prober: Prober },
): Probing {
  const { clock, inbox, prober } = parts
  const over = new AbortController()
  const asking = new Set<string>()
  async function check(spec: DependencySpec): Promise<void> {
    asking.add(spec.name)
    const startedMs = clock.nowMs()
    const result = await prober.check(spec, over.signal)
    asking.delete(spec.name)
    if (over.signal.aborted) return
    const atMs = clock.nowMs()
    inbox.push({ kind: 'dependency_checked', dependency: spec.name, result, latencyMs: atMs - startedMs, atMs })
  }
  return {
    ask(name) {
      const spec = specs.find((candidate) => candidate.name === name)
      if (spec !== undefined && !asking.has(name) && !over.signal.aborted) void check(spec)
    },
    stop: () => over.abort(),
  }
}
