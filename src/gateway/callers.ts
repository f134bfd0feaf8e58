import type { PoolSpec } from '../model/pool.ts'
import type { GatewaySpec, ProviderApi, ProviderSpec } from '../model/provider.ts'
import { type Cost, nothingSpent, plus } from '../model/spent.ts'
import type { Clock } from '../port/clock.ts'
import type { Admission, Caller, ModelDoor, RunningAttempt } from '../port/model-door.ts'
import { Failures } from './failures.ts'
import type { ToolCall, ToolResult } from './wire/types.ts'

/** The variables that the providers' own clients read. */
const variablesOf: Readonly<Record<ProviderApi, { readonly base: string; readonly key: string }>> = {
  openai: { base: 'OPENAI_BASE_URL', key: 'OPENAI_API_KEY' },
  anthropic: { base: 'ANTHROPIC_BASE_URL', key: 'ANTHROPIC_API_KEY' },
}
/** A hint that no call took with it is old by then. */
const hintsKept = 4
/** Tool results of which we know that we have told them: every request repeats the whole conversation. */
const resultsKept = 256

/** A call of a client, from its arrival to its end. */
export interface Stay {
  /** What it may cost, until it ends. */
  reserve(cost: Cost): void
  /** Call once. */
  leave(): void
}

/** One incarnation, or one process of a command: who has its token. */
export class Client {
  readonly caller: Caller
  readonly token: string
  readonly spec: PoolSpec
  readonly failures: Failures
  readonly #running: () => readonly RunningAttempt[]
  readonly #calls = new Map<() => void, Cost>()
  readonly #told = new Set<string>()
  readonly #toolCalls = new Map<string, ToolCall>()
  #end = Promise.withResolvers<void>()
  #hints: { readonly taskId: string; readonly fence: number; readonly text: string }[] = []

  constructor(
    { caller, token, spec, clock }: Pick<Client, 'caller' | 'token' | 'spec'> & { readonly clock: Clock },
    running: () => readonly RunningAttempt[],
  ) {
    this.caller = caller
    this.token = token
    this.spec = spec
    this.failures = new Failures(clock)
    this.#running = running
  }

  /** @param cut  Ends the call at once, when its client is gone. */
  begin(cut: () => void): Stay {
    this.#calls.set(cut, nothingSpent)
    return {
      reserve: (cost) => this.#calls.set(cut, cost),
      leave: () => {
        this.#calls.delete(cut)
        this.#end.resolve()
        this.#end = Promise.withResolvers()
      },
    }
  }

  /** Resolves when one of its calls ends. */
  ended(): Promise<void> {
    return this.#end.promise
  }

  cut(): void {
    for (const cut of this.#calls.keys()) cut()
  }

  /** Tool calls that answers have asked for, by their id. */
  get toolCalls(): ReadonlyMap<string, ToolCall> {
    return this.#toolCalls
  }

  heard(calls: readonly ToolCall[]): void {
    for (const call of calls) if (call.callId !== '') this.#toolCalls.set(call.callId, call)
    dropOldest(this.#toolCalls, resultsKept)
  }

  /** Those of `results` that were not told before. */
  unseen(attempt: RunningAttempt | null, results: readonly ToolResult[]): readonly ToolResult[] {
    const fresh = results.filter(({ callId }) => !this.#told.has(`${attempt?.taskId} ${attempt?.fence} ${callId}`))
    for (const { callId } of fresh) this.#told.add(`${attempt?.taskId} ${attempt?.fence} ${callId}`)
    dropOldest(this.#told, resultsKept)
    return fresh
  }

  /** The attempt that a call belongs to: the one it names, or the only one there is. */
  attemptOf(named: { readonly taskId: string; readonly fence: number } | null): RunningAttempt | null {
    const running = this.#running()
    if (named === null) return running.length === 1 ? (running[0] ?? null) : null
    return running.find(({ taskId, fence }) => taskId === named.taskId && fence === named.fence) ?? null
  }

  /** What its calls that have not ended may cost. */
  get reserved(): Cost {
    let total: Cost = nothingSpent
    for (const cost of this.#calls.values()) total = plus(total, cost)
    return total
  }

  hint(taskId: string, fence: number, text: string): void {
    if (this.spec.recovery.injectNudge) this.#hints = [...this.#hints, { taskId, fence, text }].slice(-hintsKept)
  }

  /** What the attempt's next call takes with it; it is forgotten here. */
  takeHints({ taskId, fence }: RunningAttempt): readonly string[] {
    const isMine = (hint: { readonly taskId: string; readonly fence: number }): boolean =>
      hint.taskId === taskId && hint.fence === fence
    const mine = this.#hints.filter(isMine)
    if (mine.length > 0) this.#hints = this.#hints.filter((hint) => !isMine(hint))
    return mine.map(({ text }) => text)
  }
}

export interface CallersParts {
  readonly spec: GatewaySpec
  readonly pools: readonly PoolSpec[]
  readonly clock: Clock
  readonly newToken: () => string
}

/** Everybody who may call, by token. */
export class Callers implements ModelDoor {
  readonly #spec: GatewaySpec
  readonly #pools: ReadonlyMap<string, PoolSpec>
  readonly #newToken: () => string
  readonly #clock: Clock
  readonly #clients = new Map<string, Client>()
  /** Known once the port is open. */
  url = ''

  constructor({ spec, pools, newToken, clock }: CallersParts) {
    this.#clock = clock
    this.#spec = spec
    this.#pools = new Map(pools.map((pool) => [pool.name, pool]))
    this.#newToken = newToken
  }

  find(token: string): Client | null {
    return this.#clients.get(token) ?? null
  }

  admit(caller: Caller, running: () => readonly RunningAttempt[]): Admission {
    const spec = this.#pools.get(caller.pool)
    if (spec === undefined) throw new Error(`there is no pool ${caller.pool}`)
    const token = this.#newToken()
    const client = new Client({ caller, token, spec, clock: this.#clock }, running)
    this.#clients.set(token, client)
    return {
      variables: this.#variables(spec, token),
      nudge: (taskId, fence, text) => client.hint(taskId, fence, text),
      revoke: () => {
        this.#clients.delete(token)
        client.cut()
      },
    }
  }

  #variables(pool: PoolSpec, token: string): Record<string, string> {
    const base = `${this.url}/llm/${token}`
    const variables: Record<string, string> = { PRUNELLA_GATEWAY: base }
    for (const api of ['openai', 'anthropic'] as const) {
      const provider = providerOf(pool, this.#spec.providers, api)
      if (provider === null) continue
      variables[variablesOf[api].base] = `${base}/${provider.name}`
      variables[variablesOf[api].key] = token
    }
    return variables
  }
}

function dropOldest(kept: Set<string> | Map<string, unknown>, most: number): void {
  for (const oldest of kept.keys()) {
    if (kept.size <= most) return
    kept.delete(oldest)
  }
}

/** Where the calls of a client of this wire format go: what the pool says it depends on, else the first there is. */
function providerOf(pool: PoolSpec, providers: readonly ProviderSpec[], api: ProviderApi): ProviderSpec | null {
  const able = providers.filter((provider) => provider.api === api)
  return able.find(({ name }) => pool.dependsOn.includes(name)) ?? able[0] ?? null
}
