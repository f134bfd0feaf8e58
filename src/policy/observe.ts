import { assertNever } from '../model/assert.ts'
import { limits } from '../model/limits.ts'
import type { AttemptObservation, CallStart, ReplicaObservation } from '../model/observation.ts'
import type { PoolSpec } from '../model/pool.ts'
import type { AttemptRow, ReplicaRow } from '../model/rows.ts'
import { isServed } from './evidence.ts'
import { answered } from './health/probe.ts'
import { heard } from './rows.ts'
import { foldSources } from './sources.ts'

/** Folds what changes a replica's clocks and nothing else. Everything is evidence of life except what others say about it. */
export function foldReplica(row: ReplicaRow, observation: ReplicaObservation, spec: PoolSpec): ReplicaRow {
  switch (observation.kind) {
    case 'pulse':
      return {
        ...row,
        pulse: heard(observation.atMs),
        judgement: null,
      }
    case 'pong': {
      const alive: ReplicaRow = {
        ...row,
        pulse: heard(observation.atMs),
        judgement: null,
      }
      if (row.liveness.asked?.id !== observation.ping) return alive
      return { ...alive, liveness: answered(row.liveness, true, spec.health.liveness, observation.atMs) }
    }
    case 'memory':
      return { ...row, memoryBytes: observation.bytes }
    case 'looked': {
      const look = { ...observation.look, atMs: observation.atMs }
      return { ...row, pulse: { ...row.pulse, firstLook: row.pulse.firstLook ?? look, lastLook: look } }
    }
    case 'checked': {
      if (row.readiness.asked?.id !== observation.probe) return row
      const ok = Object.values(observation.results).every((result) => result.ok)
      return {
        ...row,
        checks: observation.results,
        readiness: answered(row.readiness, ok, spec.health.readiness, observation.atMs),
      }
    }
    default:
      return row
  }
}

/** Folds what an attempt says it is doing. */
export function foldAttempt(attempt: AttemptRow, observation: AttemptObservation, spec: PoolSpec): AttemptRow {
  const { atMs } = observation
  switch (observation.kind) {
    case 'started':
      return attempt.phase.kind === 'sent'
        ? { ...attempt, phase: { kind: 'running', sinceMs: atMs }, progressMs: atMs }
        : attempt
    case 'progress':
    case 'user_turn':
      return { ...attempt, progressMs: atMs }
    case 'model_called': {
      const { usage } = observation
      const heard = { ...attempt, sources: foldSources(attempt.sources, observation) }
      if (isServed(usage)) return { ...heard, failedOn: null, ...(usage.failure === null ? { progressMs: atMs } : {}) }
      return { ...heard, failedOn: usage.provider ?? attempt.failedOn }
    }
    case 'tool_seen':
      return attempt
    case 'call_started':
      return withCall({ ...attempt, sources: foldSources(attempt.sources, observation) }, observation.start, atMs, spec)
    case 'call_ended':
      return {
        ...attempt,
        progressMs: atMs,
        calls: attempt.calls.filter((call) => call.call !== observation.call),
        failedOn: failedOn(attempt, observation),
      }
    case 'compacted':
    case 'compact_failed':
    case 'done':
    case 'failed':
    case 'reset_ok':
    case 'reset_failed':
    case 'lease_expired':
      return attempt
    default:
      return assertNever(observation)
  }
}

/** Whom the last call that failed used; a call that succeeds since clears it. */
function failedOn(
  attempt: AttemptRow,
  { call, ok, error }: AttemptObservation & { readonly kind: 'call_ended' },
): string | null {
  const open = attempt.calls.find((one) => one.call === call)
  if (open?.kind === 'model') return attempt.failedOn // `model_called` says how it went.
  if (ok) return null
  const dependency = open?.dependency ?? null
  return error?.dependency ?? dependency ?? attempt.failedOn
}

function withCall(attempt: AttemptRow, start: CallStart, atMs: number, spec: PoolSpec): AttemptRow {
  const { deadlines } = spec
  const { stepMs: step, toolMs: tool, idleMs: wait, modelAnswerMs: model } = deadlines
  const usualMs = { step, tool, wait, model }[start.kind]
  const call = { ...start, sinceMs: atMs, deadlineMs: atMs + (start.timeoutMs ?? usualMs) }
  return { ...attempt, progressMs: atMs, calls: [...attempt.calls, call].slice(-limits.openCalls) }
}
