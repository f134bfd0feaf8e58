import type { ErrorInfo } from '../model/errors.ts'
import type { Json } from '../model/json.ts'
import type { AgentCallKind, ModelFailure, ResultPrint } from '../model/observation.ts'
import type { CheckResult } from '../model/probe.ts'
import type { Allowance } from '../model/spent.ts'
import type { JournalStep, PreviousAttempt, RepeatWord } from '../model/task.ts'

/** Version of the frames. A host that speaks another is refused at `hello` with both numbers. */
export const protocolVersion = 1

/**
 * Agent to supervisor: one JSON object a line on file descriptor 3, UTF-8, at
 * most `limits.frameBytes` with its newline. `task` and `fence` name the attempt.
 */
export type AgentFrame =
  | { readonly type: 'hello'; readonly protocol: number; readonly client: string }
  /** `setup` is done. `checks` are the names the agent can be asked for; `resettable` when a soft restart makes sense. */
  | {
      readonly type: 'ready'
      readonly checks: readonly string[]
      readonly resettable: boolean
      /** The agent can be asked to compact an attempt's context. Absent: false. */
      readonly compactable?: boolean
    }
  | { readonly type: 'setup_failed'; readonly error: ErrorInfo }
  /** From the main loop; `lagMs` is how late it came. */
  | { readonly type: 'pulse'; readonly lagMs: number }
  | { readonly type: 'pong'; readonly ping: number }
  | { readonly type: 'checked'; readonly probe: number; readonly results: Readonly<Record<string, CheckResult>> }
  | { readonly type: 'started'; readonly task: string; readonly fence: number }
  | { readonly type: 'progress'; readonly task: string; readonly fence: number; readonly note: string }
  | {
      readonly type: 'call_started'
      readonly task: string
      readonly fence: number
      /** Counts up within the attempt. */
      readonly call: number
      readonly kind: AgentCallKind
      readonly name: string
      /** Journaled under (name, key) when given. */
      readonly key?: string
      readonly repeat?: RepeatWord
      readonly timeoutMs?: number
      readonly blocking?: boolean
      /** It asks again until something changes: repeating it is no loop. */
      readonly poll?: boolean
      readonly args?: { readonly hash: string; readonly length: number; readonly text: string }
      /** The configured dependency it uses. */
      readonly dependency?: string
    }
  | {
      readonly type: 'call_ended'
      readonly task: string
      readonly fence: number
      readonly call: number
      readonly ok: boolean
      /** Only of a journaled call that succeeded. */
      readonly result?: Json
      readonly error?: ErrorInfo
      /** Of a tool: of its result, or of its error's name and message. */
      readonly print?: ResultPrint
    }
  | {
      readonly type: 'model_called'
      readonly task: string
      readonly fence: number
      readonly provider?: string
      readonly model?: string
      readonly promptTokens?: number
      readonly completionTokens?: number
      readonly usd?: number
      readonly windowTokens?: number
      readonly textHash?: string
      readonly textLength?: number
      readonly toolCalls?: number
      readonly failure?: ModelFailure
    }
  /** A real person spoke inside a long conversation. */
  | { readonly type: 'user_turn'; readonly task: string; readonly fence: number }
  | { readonly type: 'compacted'; readonly task: string; readonly fence: number; readonly tokens?: number }
  | { readonly type: 'compact_failed'; readonly task: string; readonly fence: number; readonly error: ErrorInfo }
  | { readonly type: 'done'; readonly task: string; readonly fence: number; readonly output: Json }
  | { readonly type: 'failed'; readonly task: string; readonly fence: number; readonly error: ErrorInfo }
  | { readonly type: 'reset_ok'; readonly task: string; readonly fence: number }
  | { readonly type: 'reset_failed'; readonly task: string; readonly fence: number; readonly error: ErrorInfo }
  | { readonly type: 'lease_expired'; readonly task: string; readonly fence: number }
  | {
      readonly type: 'log'
      readonly level: 'debug' | 'info' | 'warn' | 'error'
      readonly message: string
      readonly task?: string
    }

/** Supervisor to agent. Each carries `leaseMs`: the host may start steps and tools for that long from now on. */
export type SupervisorFrame =
  /** Always the first. A process learns here who it is. */
  | {
      readonly type: 'adopt'
      readonly leaseMs: number
      readonly protocol: number
      readonly pool: string
      readonly replica: string
      readonly incarnation: number
      readonly pulseMs: number
      readonly concurrency: number
      /** How long an aborted attempt may take to settle. */
      readonly resetMs: number
    }
  /** A part of the journal of a task that follows; in order, before its `task` frame. */
  | {
      readonly type: 'journal'
      readonly leaseMs: number
      readonly task: string
      readonly fence: number
      readonly steps: readonly JournalStep[]
    }
  /** Run it when one of the `concurrency` places is free; in the order received. */
  | {
      readonly type: 'task'
      readonly leaseMs: number
      readonly task: string
      readonly fence: number
      readonly attempt: number
      readonly input: Json
      readonly deadlineMs: number | null
      readonly previous: PreviousAttempt | null
      /** What it may still spend on model calls: when that is used up, nothing more may begin. Absent: no limit. */
      readonly left?: Allowance
    }
  /** The start or end of a journaled call is durable (`accepted`), or the attempt is over (not accepted). */
  | {
      readonly type: 'ack'
      readonly leaseMs: number
      readonly task: string
      readonly fence: number
      readonly call: number
      readonly phase: 'start' | 'end'
      readonly accepted: boolean
    }
  /** Abort that attempt, wait until everything it opened has settled, call `reset`, answer `reset_ok`. */
  | {
      readonly type: 'reset'
      readonly leaseMs: number
      readonly task: string
      readonly fence: number
      readonly reason: string
    }
  /** A hint for the attempt; it may read it or not. */
  | {
      readonly type: 'nudge'
      readonly leaseMs: number
      readonly task: string
      readonly fence: number
      readonly text: string
    }
  /** Make the attempt's context smaller; answer `compacted` or `compact_failed`. The supervisor waits `timeoutMs` for it. */
  | {
      readonly type: 'compact'
      readonly leaseMs: number
      readonly task: string
      readonly fence: number
      readonly timeoutMs: number
      readonly reason: string
    }
  /** Only from a node started with `--chaos`, and only heeded by a host it started: that attempt, whose `task` follows, misbehaves. */
  | {
      readonly type: 'misbehave'
      readonly leaseMs: number
      readonly task: string
      readonly fence: number
      readonly fault: string
      readonly forMs: number
      /** The pool's limit, 0 without one. */
      readonly memoryBytes: number
    }
  /** As above: calls that use this dependency fail for `forMs`. */
  | { readonly type: 'outage'; readonly leaseMs: number; readonly dependency: string; readonly forMs: number }
  | { readonly type: 'lease'; readonly leaseMs: number }
  | { readonly type: 'ping'; readonly leaseMs: number; readonly ping: number }
  | { readonly type: 'check'; readonly leaseMs: number; readonly probe: number; readonly timeoutMs: number }
