import type { ReplicaName } from '../../src/model/ids.ts'
import type { SimClock } from './clock.ts'
import type { Trace } from './trace.ts'

/** What everybody depends on, as it really is. */
export class Provider {
  private readonly clock: SimClock
  private readonly trace: Trace
  private upAtMs = Number.NEGATIVE_INFINITY
  private isNotedDown = false
  /** Calls fail, and its check does not notice: it limits rates, say. */
  passesCheck = false
  /** While it is down these still have the connections that they had before: only new ones are refused. */
  private keptBy: readonly ReplicaName[] = []
  private waiting: (() => void)[] = []

  constructor(clock: SimClock, trace: Trace) {
    this.clock = clock
    this.trace = trace
  }

  get isDown(): boolean {
    return this.clock.nowMs() < this.upAtMs
  }

  /** For this replica. */
  answers(replica: ReplicaName): boolean {
    return !this.isDown || this.keptBy.includes(replica)
  }

  break(forMs: number, keptBy: readonly ReplicaName[] = []): void {
    this.keptBy = keptBy
    if (!this.isNotedDown) this.trace.note({ kind: 'provider', up: false })
    this.isNotedDown = true
    this.upAtMs = Math.max(this.upAtMs, this.clock.nowMs() + forMs)
    this.clock.at(this.upAtMs, () => this.answer())
  }

  /** Nothing goes wrong any more. */
  mend(): void {
    this.upAtMs = Math.min(this.upAtMs, this.clock.nowMs())
    this.answer()
  }

  whenUp(fire: () => void): void {
    if (this.isDown) this.waiting.push(fire)
    else fire()
  }

  private answer(): void {
    if (this.isDown || !this.isNotedDown) return
    this.isNotedDown = false
    this.trace.note({ kind: 'provider', up: true })
    const { waiting } = this
    this.waiting = []
    for (const fire of waiting) fire()
  }
}
