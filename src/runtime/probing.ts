import type { DependencySpec } from '../model/probe.ts'
import type { Clock } from '../port/clock.ts'
import type { Inbox } from '../port/inbox.ts'
import type { Prober } from '../port/prober.ts'

export interface Probing {
  /** Asks a dependency once; the answer comes through the inbox. One question at a time: another one is dropped. */
  ask(dependency: string): void
  /** Until then every answer is a failure, though nobody is asked. */
  fail(dependency: string, untilMs: number): void
  /** No answer arrives any more. */
  stop(): void
}

const injected = { ok: false, reason: 'chaos: it does not answer' } as const

/** Carries out `probe`. When to ask and what an answer means is decided elsewhere. */
export function createProbing(
  specs: readonly DependencySpec[],
  parts: { readonly clock: Clock; readonly inbox: Inbox; readonly prober: Prober },
): Probing {
  const { clock, inbox, prober } = parts
  const over = new AbortController()
  const asking = new Set<string>()
  const failingMs = new Map<string, number>()
  async function check(spec: DependencySpec): Promise<void> {
    asking.add(spec.name)
    const startedMs = clock.nowMs()
    const isFailing = startedMs < (failingMs.get(spec.name) ?? Number.NEGATIVE_INFINITY)
    const result = isFailing ? injected : await prober.check(spec, over.signal)
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
    fail: (name, untilMs) => void failingMs.set(name, untilMs),
    stop: () => over.abort(),
  }
}
