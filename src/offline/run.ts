import type { RunFact } from '../model/run.ts'

/** What hindsight knows of a recorded run. Detectors never see it. */
export interface Label {
  readonly kind: 'stuck' | 'clean' | 'unclear'
  /** The talk-without-action rule is scored apart from the loops. */
  readonly rule: string | null
  /** Fact at which it got stuck; null unless stuck. */
  readonly onset: number | null
}

/** One recorded run. */
export interface RecordedRun {
  readonly id: string
  readonly source: string | null
  /** Whose detectors judge it, in an export of several pools. */
  readonly pool: string | null
  readonly facts: readonly RunFact[]
  readonly label: Label | null
}

/** A line that cannot be read as what it should be. The message names line, field, rule and value. */
export class ReplayError extends Error {
  override readonly name = 'ReplayError'
  readonly code = 'PRUNELLA_INVALID'
}

export type Row = Readonly<Record<string, unknown>>

/** Reads single fields of one line, and refuses them by name. */
export class Fields {
  readonly #row: Row
  readonly #where: string

  constructor(row: unknown, where: string) {
    if (typeof row !== 'object' || row === null || Array.isArray(row)) throw refusal(where, 'must be an object', row)
    this.#row = row as Row
    this.#where = where
  }

  text(name: string): string {
    return this.#take(name, 'must be a string', (value) => typeof value === 'string')
  }

  textOrNull(name: string): string | null {
    return this.#take(name, 'must be a string or null', (value) => value === null || typeof value === 'string', null)
  }

  count(name: string): number {
    return this.#take(name, 'must be a whole number from 0', isCount)
  }

  countOrNull(name: string): number | null {
    return this.#take(name, 'must be a whole number from 0, or null', (value) => value === null || isCount(value), null)
  }

  flag(name: string, otherwise?: boolean): boolean {
    return this.#take(name, 'must be true or false', (value) => typeof value === 'boolean', otherwise)
  }

  oneOf<const Word extends string | number>(name: string, words: readonly Word[]): Word {
    return this.#take(name, `must be one of ${words.join(', ')}`, (value) => words.includes(value as Word))
  }

  list(name: string): readonly unknown[] {
    return this.#take(name, 'must be a list', Array.isArray)
  }

  has(name: string): boolean {
    return this.#row[name] !== undefined
  }

  value(name: string): unknown {
    return this.#row[name]
  }

  /** @param otherwise  For a field that is left out; without it the field is required. */
  #take<Value>(name: string, rule: string, isFine: (value: unknown) => boolean, otherwise?: Value): Value {
    const value = this.#row[name] === undefined ? otherwise : this.#row[name]
    if (value === undefined || !isFine(value)) throw refusal(`${this.#where}.${name}`, rule, this.#row[name])
    return value as Value
  }
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function refusal(where: string, rule: string, value: unknown): ReplayError {
  const text = value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value))
  return new ReplayError(`${where} ${rule}, got ${text.length > 80 ? `${text.slice(0, 77)}...` : text}`)
}
