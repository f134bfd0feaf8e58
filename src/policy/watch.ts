/** What the detectors of agent faults remember of a live attempt and of a live process, and what they hear of them. */
import type { TaskId } from '../model/ids.ts'
import type { AttemptObservation } from '../model/observation.ts'
import type { AttemptRow, ReplicaRow } from '../model/rows.ts'
import type { RunFact } from '../model/run.ts'
import type { Account } from '../model/spent.ts'
import { newAccount } from './detect/budget.ts'
import { type ContextFact, type ContextState, newContext } from './detect/context.ts'
import { type GaugeState, newGauge } from './detect/memory.ts'
import { newRun, type RunState } from './detect/tool-loop.ts'

/** One attempt, as long as it lasts: a soft restart begins a new one. */
export interface Watch {
  readonly taskId: TaskId
  readonly fence: number
  readonly run: RunState
  readonly context: ContextState
  /** It began while its replica was on probation: its thresholds are shorter (R4). */
  readonly onTrial: boolean
  /** Hints given. */
  readonly nudges: number
  /** A compaction that was asked for, with the time by which it must be answered, clock ms; null: none is out. */
  readonly compactByMs: number | null
  /** A pool that only observes has said that this attempt stalls. */
  readonly stallSaid: boolean
}

export function newWatch({ taskId, fence }: AttemptRow, { probationUntilMs }: ReplicaRow): Watch {
  const onTrial = probationUntilMs !== null
  return { taskId, fence, run: newRun, context: newContext, onTrial, nudges: 0, compactByMs: null, stallSaid: false }
}

/** One incarnation. */
export interface Gauges {
  readonly incarnation: number
  readonly memory: GaugeState
  readonly files: GaugeState
  /** What its model calls cost. */
  readonly spent: Account
}

export function newGauges(incarnation: number): Gauges {
  return { incarnation, memory: newGauge, files: newGauge, spent: newAccount('replica', 0) }
}

/** The fact of a run that an observation brings, or null. Before the call it ends is forgotten. */
export function runFactOf(observation: AttemptObservation, attempt: AttemptRow): RunFact | null {
  switch (observation.kind) {
    case 'call_ended': {
      const open = attempt.calls.find(({ call }) => call === observation.call)
      const { print } = observation
      if (open?.kind !== 'tool' || open.args === null || print === null) return null
      return {
        ...{ kind: 'tool', name: open.name, argsHash: open.args.hash, argsLength: open.args.length },
        ...{ argsText: open.args.text, resultHash: print.hash, resultNhash: print.folded },
        ...{ resultLength: print.length, isError: !observation.ok, poll: open.poll },
      }
    }
    case 'tool_seen': {
      const { name, args, print, ok } = observation
      return {
        ...{ kind: 'tool', name, argsHash: args.hash, argsLength: args.length, argsText: args.text },
        ...{ resultHash: print.hash, resultNhash: print.folded, resultLength: print.length, isError: !ok, poll: false },
      }
    }
    case 'model_called': {
      const { promptTokens, completionTokens, textHash, textLength, toolCalls, windowTokens, failure } =
        observation.usage
      if (failure !== null) return null
      const length = textLength ?? 0
      return {
        ...{ kind: 'model', promptTokens, completionTokens, toolCalls, window: windowTokens },
        ...{ textHash: length === 0 ? null : textHash, textLength: length },
      }
    }
    case 'user_turn':
      return { kind: 'user', auto: false }
    default:
      return null
  }
}

export function contextFactOf(observation: AttemptObservation): ContextFact | null {
  switch (observation.kind) {
    case 'model_called': {
      const { promptTokens, windowTokens, failure } = observation.usage
      if (failure === 'context_overflow') return { kind: 'refused', message: 'context overflow' }
      return failure === null ? { kind: 'model', promptTokens, window: windowTokens } : null
    }
    case 'compacted':
      return { kind: 'compacted', tokens: observation.tokens }
    default:
      return null
  }
}
