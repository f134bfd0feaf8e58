import { assertNever } from '../../model/assert.ts'
import type { ErrorInfo } from '../../model/errors.ts'
import type { ReplicaName } from '../../model/ids.ts'
import { limits } from '../../model/limits.ts'
import type { CallStart, ModelUsage, Observation } from '../../model/observation.ts'
import type { CheckResult } from '../../model/probe.ts'
import { type Redact, stripControls } from '../../model/redact.ts'
import type { AgentFrame } from '../../protocol/frames.ts'

/** Whom an observation is about. */
export interface Subject {
  readonly replica: ReplicaName
  readonly incarnation: number
}

/**
 * A frame as an observation, field by field: nothing an agent sends is spread,
 * so no extra key travels on. Free text is redacted, made inert and cut.
 * Null for frames that end at the host (`hello`, `log`).
 */
export function toObservation(frame: AgentFrame, of: Subject, atMs: number, redact: Redact): Observation | null {
  const { replica, incarnation } = of
  const base = { replica, incarnation, atMs }
  const say = (text: string, length: number = limits.noteLength) => cleanText(text, length, redact)
  switch (frame.type) {
    case 'hello':
    case 'log':
      return null
    case 'ready':
      return readyOf(frame, base)
    case 'setup_failed':
      return { ...base, kind: 'setup_failed', error: cleanError(frame.error, redact) }
    case 'pulse':
      return { ...base, kind: 'pulse', lagMs: frame.lagMs }
    case 'pong':
      return { ...base, kind: 'pong', ping: frame.ping }
    case 'checked':
      return { ...base, kind: 'checked', probe: frame.probe, results: cleanResults(frame.results, redact) }
    default:
      break
  }
  const attempt = { ...base, taskId: frame.task, fence: frame.fence }
  switch (frame.type) {
    case 'started':
    case 'user_turn':
    case 'reset_ok':
    case 'lease_expired':
      return { ...attempt, kind: frame.type }
    case 'progress':
      return { ...attempt, kind: 'progress', note: say(frame.note) }
    case 'call_started':
      return { ...attempt, kind: 'call_started', start: startOf(frame, say) }
    case 'call_ended': {
      const { call, ok, result = null, error: failure, print: seen } = frame
      const error = failure === undefined ? null : cleanError(failure, redact)
      const print = seen === undefined ? null : { hash: seen.hash, folded: seen.folded, length: seen.length }
      return { ...attempt, kind: 'call_ended', call, ok, result, error, print }
    }
    case 'model_called':
      return { ...attempt, kind: 'model_called', usage: usageOf(frame, say), via: 'agent' }
    case 'compacted':
      return { ...attempt, kind: 'compacted', tokens: frame.tokens ?? null }
    case 'done':
      return { ...attempt, kind: 'done', output: frame.output }
    case 'failed':
    case 'reset_failed':
    case 'compact_failed':
      return { ...attempt, kind: frame.type, error: cleanError(frame.error, redact) }
    default:
      return assertNever(frame)
  }
}

type FrameOf<Type extends AgentFrame['type']> = Extract<AgentFrame, { readonly type: Type }>
type Say = (text: string) => string

function readyOf(frame: FrameOf<'ready'>, base: Subject & { readonly atMs: number }): Observation {
  const { checks, resettable, compactable = false } = frame
  return { ...base, kind: 'ready', checks: [...checks], resettable, compactable }
}

function startOf(frame: FrameOf<'call_started'>, say: Say): CallStart {
  const { call, kind, name, key = null, repeat = 'safe_to_retry', timeoutMs = null, args } = frame
  const { blocking = false, dependency = null, poll = false } = frame
  const shown = args === undefined ? null : { hash: args.hash, length: args.length, text: say(args.text) }
  return { call, kind, name, key, repeat, timeoutMs, blocking, args: shown, dependency, poll }
}

function usageOf(frame: FrameOf<'model_called'>, say: Say): ModelUsage {
  const { provider, model, promptTokens = null, completionTokens = null, usd = null, windowTokens = null } = frame
  const { textHash = null, textLength = null, toolCalls = null, failure = null } = frame
  return {
    callId: null,
    provider: provider === undefined ? null : say(provider),
    model: model === undefined ? null : say(model),
    promptTokens,
    completionTokens,
    usd,
    windowTokens,
    textHash,
    textLength,
    toolCalls,
    failure,
  }
}

export function cleanText(text: string, length: number, redact: Redact): string {
  // Cut before the expensive part, and again after: a redacted text may be longer.
  return stripControls(redact(text.slice(0, length * 2))).slice(0, length)
}

export function cleanError(error: ErrorInfo, redact: Redact): ErrorInfo {
  const { name, message, code, stack, dependency } = error
  return {
    name: cleanText(name, 200, redact),
    message: cleanText(message, limits.errorTextLength, redact),
    ...(code === undefined ? {} : { code: cleanText(code, 200, redact) }),
    ...(stack === undefined ? {} : { stack: cleanLines(stack, limits.errorTextLength, redact) }),
    // A valid name by the schema; a database called like its password would lose its name here.
    ...(dependency === undefined ? {} : { dependency }),
  }
}

/** Like `cleanText`, and line breaks stay. */
export function cleanLines(text: string, length: number, redact: Redact): string {
  return redact(text.slice(0, length * 2))
    .split('\n')
    .map(stripControls)
    .join('\n')
    .slice(0, length)
}

function cleanResults(
  results: Readonly<Record<string, CheckResult>>,
  redact: Redact,
): Readonly<Record<string, CheckResult>> {
  const clean: Record<string, CheckResult> = Object.create(null)
  for (const [name, result] of Object.entries(results)) {
    clean[name] = result.ok ? { ok: true } : { ok: false, reason: cleanText(result.reason, limits.noteLength, redact) }
  }
  return clean
}
