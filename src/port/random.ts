/** The only source of chance, so that one seed decides a whole simulation. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** A new identifier: `prefix` and 16 characters that sort by creation time first. */
  id(prefix: string): string
}
