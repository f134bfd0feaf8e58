import type { ChildEnvironment } from '../model/environment.ts'

/** A command that is no replica, e.g. a tool server that a check starts. */
export interface Launch {
  /** Whose it is, for logs and the names of its folders. A valid name; the same one may run several times. */
  readonly name: string
  readonly command: readonly string[]
  readonly environment: ChildEnvironment
}

export interface LaunchEvents {
  /** Its standard output, as it comes. */
  output(chunk: Uint8Array): void
  /** It is gone, or never ran: why, in words, with the end of what it wrote to standard error. Called once, and last. */
  ended(how: string): void
}

export interface Launched {
  /** Writes to its standard input. What arrives before it runs waits; what arrives after its end is dropped. */
  write(text: string): void
  /**
   * Closes its standard input and ends it with all that it started, by force after
   * half a second. Resolves when nothing of it is left, or that was given up.
   */
  end(): Promise<void>
}

/** Starts commands as apart from us as replicas are: user, folders, environment, and what they leave behind is swept. */
export interface Launcher {
  launch(what: Launch, events: LaunchEvents): Launched
}
