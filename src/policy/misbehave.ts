/**
 * What is done about faults that only agents have, below and above the soft
 * restart: a hint, a compaction, the ladder (R3). The detectors say what they
 * see; each rung is tried no more often than the ladder says, compaction never
 * twice.
 */
import type { ContextVerdict, LeakVerdict, Levels, LoopThresholds, LoopVerdict, ToolLoopSpec } from '../model/detect.ts'
import type { AttemptObservation, ReplicaObservation } from '../model/observation.ts'
import type { AttemptRow, Ending } from '../model/rows.ts'
import { askToReset, revokeAttempt } from './attempts.ts'
import { foldContext } from './detect/context.ts'
import { foldGauge } from './detect/memory.ts'
import { foldRun } from './detect/tool-loop.ts'
import { mended, openHint } from './hint.ts'
import { Draft, type Outcome, type View } from './outcome.ts'
import { onFault } from './recover.ts'
import type { Sign } from './sign.ts'
import { contextFactOf, newGauges, newWatch, runFactOf, type Watch } from './watch.ts'

/** Hints per attempt: an agent that did not heed two will not heed a third. */
const nudgesPerAttempt = 2
/** How long an agent may take to compact its context: it is a model call of its own. */
const compactMs = 120_000
/** On probation a loop is acted on at this share of its count (R4), never before the hint. */
const probationShare = 0.75

/** One more fact of an attempt's run. Null: it says nothing about loops or context. */
export function onRunFact(view: View, attempt: AttemptRow, observation: AttemptObservation): Outcome | null {
  if (attempt.phase.kind === 'returning') return null
  const known = view.watches.get(attempt.taskId)
  const before = known?.fence === attempt.fence ? known : newWatch(attempt, view.replica)
  if (observation.kind === 'compact_failed')
    return tooFull(view, attempt, { ...before, compactByMs: null }, [`compact() failed: ${observation.error.message}`])
  const fact = runFactOf(observation, attempt)
  const contextFact = contextFactOf(observation)
  if (fact === null && contextFact === null) return null
  const run = fact === null ? null : foldRun(before.run, fact, loopSpec(view.spec.detect.toolLoop, before))
  const context = contextFact === null ? null : foldContext(before.context, contextFact, view.spec.detect.context)
  const watch: Watch = {
    ...before,
    run: run?.state ?? before.run,
    context: context?.state ?? before.context,
    compactByMs: observation.kind === 'compacted' ? null : before.compactByMs,
  }
  const wasLooping = before.run.said === 'nudge' && watch.run.said === null
  if (context?.verdict?.level === 'act') return onContext(view, attempt, watch, context.verdict)
  if (run?.verdict != null && run.verdict.level !== 'note') return onLoop(view, attempt, watch, run.verdict)
  const draft = new Draft()
  draft.setWatch(watch)
  if (observation.kind === 'compacted')
    mended(draft, view, attempt, `the context was compacted${sizeOf(observation.tokens)}`)
  else if (wasLooping) mended(draft, view, attempt, 'the agent does something else: the hint was enough')
  return draft.finish()
}

function sizeOf(tokens: number | null): string {
  return tokens === null ? '' : ` to ${tokens} tokens`
}

/** Shorter thresholds while a replica has to prove itself (R4). */
function loopSpec(toolLoop: ToolLoopSpec, { onTrial }: Watch): ToolLoopSpec {
  if (!onTrial) return toolLoop
  const shorter = ({ note, nudge, act }: Levels): Levels => ({
    ...{ note, nudge },
    act: Math.max(nudge, Math.ceil(act * probationShare)),
  })
  const thresholds = Object.fromEntries(
    Object.entries(toolLoop.thresholds).map(([form, levels]) => [form, shorter(levels)]),
  ) as Record<keyof LoopThresholds, Levels>
  return { ...toolLoop, thresholds }
}

function onLoop(view: View, attempt: AttemptRow, watch: Watch, verdict: LoopVerdict): Outcome {
  const { recovery } = view.spec
  if (verdict.level === 'act') return onTheLadder(view, attempt, watch, verdict.fault, verdict.evidence)
  const draft = new Draft()
  const isToldAnyway = recovery.nudge && watch.nudges < nudgesPerAttempt
  draft.setWatch(isToldAnyway ? { ...watch, nudges: watch.nudges + 1 } : watch)
  if (!isToldAnyway) return draft.finish()
  const text = `You seem to be going in circles: ${verdict.evidence[0]}. Change your approach, or give your answer.`
  const { taskId, fence, replica, incarnation } = attempt
  if (recovery.mode === 'act') draft.effect({ kind: 'nudge', replica, incarnation, taskId, fence, text })
  openHint(draft, view, attempt, { kind: 'nudge', fault: verdict.fault, evidence: verdict.evidence })
  return draft.finish()
}

function onContext(view: View, attempt: AttemptRow, watch: Watch, verdict: ContextVerdict): Outcome {
  switch (verdict.remedy) {
    case 'compact':
      return compact(view, attempt, watch, verdict)
    case 'soft_restart':
      return onTheLadder(view, attempt, watch, verdict.fault, verdict.evidence)
    case 'dead_letter':
      return tooLarge(view, attempt, watch, verdict)
  }
}

/** Once an attempt; an agent that cannot compact gets a soft restart at once. */
function compact(view: View, attempt: AttemptRow, watch: Watch, verdict: ContextVerdict): Outcome {
  const { replica, nowMs, spec } = view
  if (watch.compactByMs !== null) {
    const draft = new Draft()
    draft.setWatch(watch)
    return draft.finish()
  }
  if (!replica.compactable) return onTheLadder(view, attempt, watch, verdict.fault, verdict.evidence)
  const draft = new Draft()
  const { taskId, fence, incarnation } = attempt
  const acts = spec.recovery.mode === 'act'
  draft.setWatch(acts ? { ...watch, compactByMs: nowMs + compactMs } : watch)
  const reason = verdict.evidence[0] ?? 'the context is nearly full'
  if (acts)
    draft.effect({
      ...{ kind: 'compact', replica: attempt.replica, incarnation, taskId, fence, timeoutMs: compactMs, reason },
    })
  openHint(draft, view, attempt, { kind: 'compact', fault: verdict.fault, evidence: verdict.evidence })
  return draft.finish()
}

/** A compaction that is not answered in time is one that failed. */
export function compactionsDue(view: View): { readonly outcome: Outcome | null; readonly wakeAtMs: number } {
  let wakeAtMs = Number.POSITIVE_INFINITY
  for (const attempt of view.attempts) {
    const watch = view.watches.get(attempt.taskId)
    if (watch === undefined || watch.compactByMs === null || attempt.phase.kind !== 'running') continue
    if (view.nowMs >= watch.compactByMs + view.lagMs) {
      const evidence = [`compact() did not answer within ${compactMs / 1_000} s`]
      return { outcome: tooFull(view, attempt, { ...watch, compactByMs: null }, evidence), wakeAtMs }
    }
    wakeAtMs = Math.min(wakeAtMs, watch.compactByMs + view.lagMs)
  }
  return { outcome: null, wakeAtMs }
}

function tooFull(view: View, attempt: AttemptRow, watch: Watch, evidence: readonly string[]): Outcome {
  return onTheLadder(view, attempt, watch, 'context_overflow', evidence)
}

function onTheLadder(
  view: View,
  attempt: AttemptRow,
  watch: Watch,
  kind: Sign['kind'],
  evidence: readonly string[],
): Outcome {
  const outcome = onFault(view, {
    kind,
    evidence,
    firstSignMs: view.nowMs,
    attempt,
    error: { name: kind, message: evidence[0] ?? kind },
    gone: false,
    needsHard: false,
    doNot: kind === 'tool_loop' ? evidence : [],
  })
  return { ...outcome, watches: [...outcome.watches, watch] }
}

/** Not even the first prompt fits: no replica and no restart can make the task smaller. */
function tooLarge(view: View, attempt: AttemptRow, watch: Watch, verdict: ContextVerdict): Outcome {
  const draft = new Draft()
  draft.setWatch(watch)
  openHint(draft, view, attempt, { kind: 'dead_letter', fault: verdict.fault, evidence: verdict.evidence })
  if (view.spec.recovery.mode === 'observe') return draft.finish()
  const error = { name: 'context_overflow', message: verdict.evidence[0] ?? 'the task is too large' }
  const ending: Ending = {
    ...{ outcome: 'context_overflow', counted: true, lost: false, error, evidence: verdict.evidence },
    finish: 'too_large',
  }
  revokeAttempt(draft, attempt, ending, view.nowMs + view.spec.recovery.resetMs)
  askToReset(draft, view, attempt, error.message)
  return draft.finish()
}

/** One more reading of a process: memory against its limit, open files against theirs. */
export function onGauge(view: View, observation: ReplicaObservation & { readonly kind: 'memory' }): Outcome | null {
  const { replica, spec, nowMs } = view
  if (replica.phase.kind !== 'ready') return null
  const before = view.gauges?.incarnation === replica.incarnation ? view.gauges : newGauges(replica.incarnation)
  const { bytes, openFiles, openFilesLimit } = observation
  const sample = { atMs: nowMs, value: bytes, limit: spec.memoryBytes }
  const memory = foldGauge(before.memory, 'leaking', sample, spec.detect.memory)
  const files =
    openFiles === null
      ? { state: before.files, verdict: null }
      : foldGauge(before.files, 'fd_leak', { atMs: nowMs, value: openFiles, limit: openFilesLimit }, spec.detect.files)
  const gauges = { ...before, memory: memory.state, files: files.state }
  const verdict = [memory.verdict, files.verdict].find((each) => each?.level === 'act') ?? null
  const draft = new Draft()
  draft.setGauges(replica.name, gauges)
  if (verdict === null) return draft.finish()
  const outcome = leaks(view, verdict)
  return { ...outcome, gauges: [...outcome.gauges, [replica.name, gauges]] }
}

function leaks(view: View, verdict: LeakVerdict): Outcome {
  return onFault(view, {
    kind: verdict.fault,
    evidence: verdict.evidence,
    firstSignMs: view.nowMs,
    attempt: null,
    error: { name: verdict.fault, message: verdict.evidence[0] ?? verdict.fault },
    gone: false,
    needsHard: true,
  })
}
