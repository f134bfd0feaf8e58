import type { Change, Claim, Committed } from '../model/change.ts'
import type { Effect } from '../model/effect.ts'
import type { TaskId } from '../model/ids.ts'
import type { Decision } from '../policy/outcome.ts'
import type { Store } from '../port/store.ts'
import type { Publisher } from './publish.ts'
import type { Teller } from './telling.ts'

export interface WriterParts {
  readonly store: Store
  readonly publisher: Publisher
  readonly teller: Teller
  readonly execute: (effect: Effect) => void
  /** The store says that this attempt is no longer ours. */
  readonly onStale: (taskId: TaskId) => void
}

/**
 * From decisions to deeds: one transaction a turn, then its effects, then the news.
 *
 * I1. Nothing is carried out before it is durable. What changes nothing in the
 *     store (a ping, a look) needs no transaction.
 * I2. When the store fails, nothing was applied: the decisions stand and are
 *     written again, in order, before any newer ones.
 */
export class Writer {
  private readonly parts: WriterParts
  private waiting: Decision[] = []
  /** Since when the store fails, clock ms, or null. */
  failingSinceMs: number | null = null

  constructor(parts: WriterParts) {
    this.parts = parts
  }

  add(decisions: readonly Decision[]): void {
    for (const decision of decisions) {
      if (decision.changes.length > 0 || this.parts.teller.wants(decision.notices)) this.waiting.push(decision)
      else this.carryOut(decision)
    }
  }

  /** Nothing is decided and not yet durable. */
  get settled(): boolean {
    return this.waiting.length === 0
  }

  /** Writes everything that waits, with the claims. Null when there was nothing, or when the store failed. */
  async write(nowMs: number, claims: readonly Claim[]): Promise<Committed | null> {
    if (this.waiting.length === 0 && claims.length === 0) return null
    const { store, teller } = this.parts
    const written = this.waiting
    this.waiting = []
    try {
      // R9: who is to be told is written with what they are told about.
      const proposal = teller.propose(written.map((decision) => decision.notices))
      const decisions = written.map(({ changes }, at) => {
        const telling = proposal[at]?.changes ?? []
        return telling.length === 0 ? changes : [...changes, ...telling]
      })
      const committed = await store.commit({ nowMs, decisions, claims })
      teller.accept(proposal, committed.outcomes)
      for (const [at, decision] of written.entries()) this.conclude(decision, committed.outcomes[at] ?? 'applied')
      return committed
    } catch (error) {
      this.waiting = [...written, ...this.waiting]
      this.storeFailed(error, nowMs)
      return null
    }
  }

  /** A call of the store was refused: from here on nothing is decided until a write has gone through. */
  storeFailed(error: unknown, atMs: number): void {
    if (this.failingSinceMs !== null) return
    this.failingSinceMs = atMs
    const why = error instanceof Error ? error.message : String(error)
    const text = `the store failed; intake and decisions stop, running tasks go on: ${why}`
    const notice = { kind: 'node', severity: 'critical', atMs, text } as const
    this.parts.publisher.publish(notice)
    this.parts.teller.press(notice)
  }

  private conclude(decision: Decision, outcome: Committed['outcomes'][number]): void {
    if (outcome === 'applied') {
      this.carryOut(decision)
      return
    }
    for (const effect of decision.refused) this.parts.execute(effect)
    if (outcome !== 'stale') return
    for (const change of decision.changes) if (isOfAttempt(change)) this.parts.onStale(change.taskId)
  }

  private carryOut(decision: Decision): void {
    for (const effect of decision.effects) this.parts.execute(effect)
    for (const notice of decision.notices) this.parts.publisher.publish(notice)
  }
}

type AttemptChange = Extract<
  Change,
  { readonly kind: 'end_attempt' | 'revoke' | 'spend' | 'step_started' | 'step_done' }
>

function isOfAttempt(change: Change): change is AttemptChange {
  return ['end_attempt', 'revoke', 'spend', 'step_started', 'step_done'].includes(change.kind)
}
