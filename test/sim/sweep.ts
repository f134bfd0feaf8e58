import { PrunellaError } from '../../src/model/errors.ts'

/** A supervisor's calls of its ports, over all its lives. What the simulation plays around is none: clock, chance, inbox. */
export type CallName = 'store' | 'host' | 'prober' | 'notifier'

/** What befalls one call. `fails`: the port says so, and nothing has happened. A host's call cannot fail: its outcomes are observations. */
export type Mishap = 'killed_before' | 'killed_after' | 'fails'

export interface Strike {
  /** Of all calls, from 1. */
  readonly call: number
  readonly mishap: Mishap
}

/** Numbers the calls, and says what befalls each: nothing, but for the one that is struck. */
export class Sweep {
  /** In order, e.g. `store commit`. */
  readonly calls: string[] = []
  private readonly strike: Strike | null

  constructor(strike: Strike | null) {
    this.strike = strike
  }

  next(port: CallName, what: string): Mishap | null {
    this.calls.push(`${port} ${what}`)
    return this.strike?.call === this.calls.length ? this.strike.mishap : null
  }
}

export function storeFailure(): PrunellaError {
  return new PrunellaError('PRUNELLA_STORE_FAILED', 'simulated: the disk is full')
}
