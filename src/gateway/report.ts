import type { CallStart, ModelUsage } from '../model/observation.ts'
import type { Clock } from '../port/clock.ts'
import type { Inbox } from '../port/inbox.ts'
import type { RunningAttempt } from '../port/model-door.ts'
import type { Client } from './callers.ts'
import type { ToolResult } from './wire/types.ts'

/** Numbers of calls that an agent gives are 0 and above. */
let lastCall = 0

/** What one model call tells the supervisor: that it is under way, for what it waits, what became of it. */
export class Report {
  readonly #client: Client
  readonly #attempt: RunningAttempt | null
  readonly #inbox: Inbox
  readonly #clock: Clock
  readonly #begunMs: number
  #open: number | null = null

  constructor(parts: { readonly inbox: Inbox; readonly clock: Clock }, client: Client, attempt: RunningAttempt | null) {
    this.#client = client
    this.#attempt = attempt
    this.#inbox = parts.inbox
    this.#clock = parts.clock
    this.#begunMs = parts.clock.nowMs()
  }

  /** What the attempt's replica does now, as people read it; it replaces what it did before. */
  doing(name: string, dependency: string, timeoutMs: number): void {
    if (this.#attempt === null) return
    this.done()
    lastCall -= 1
    this.#open = lastCall
    const start: CallStart = {
      call: lastCall,
      kind: 'model',
      name,
      key: null,
      repeat: 'safe_to_retry',
      timeoutMs,
      blocking: false,
      args: null,
      dependency,
      poll: false,
    }
    this.#inbox.push({ ...this.#of(this.#attempt), kind: 'call_started', start })
  }

  done(): void {
    if (this.#attempt === null || this.#open === null) return
    const call = this.#open
    this.#open = null
    const end = { ok: true, result: null, error: null, print: null } as const
    this.#inbox.push({ ...this.#of(this.#attempt), kind: 'call_ended', call, ...end })
  }

  /** Tool calls that the agent made since its last request, with what they returned. */
  tools(results: readonly ToolResult[]): void {
    if (this.#attempt === null) return
    for (const { name, args, print, ok } of results)
      this.#inbox.push({ ...this.#of(this.#attempt), kind: 'tool_seen', name, args, print, ok })
  }

  /** Told while the call is still open: when it began says whether it tried a provider that was down before. */
  used(usage: ModelUsage): void {
    const { replica, incarnation } = this.#client.caller
    const atMs = this.#clock.nowMs()
    if (this.#attempt === null)
      return this.#inbox.push({ replica, incarnation, atMs, kind: 'model_used', usage, begunMs: this.#begunMs })
    this.#inbox.push({ ...this.#of(this.#attempt), kind: 'model_called', usage, via: 'gateway' })
    this.done()
  }

  #of({ taskId, fence }: RunningAttempt) {
    const { replica, incarnation } = this.#client.caller
    return { replica, incarnation, atMs: this.#clock.nowMs(), taskId, fence }
  }
}
